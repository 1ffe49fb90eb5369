// The front door's part of the work and no more: the signature and the JSON are Probot's own.
export default (app) => {
  app.on("issue_comment.created", async ({ payload, log }) => {
    if (payload.comment.body.trimStart().startsWith("/vibecode")) log.info("asked");
  });
};
