/** What may go wrong between app and service; each message is a sentence for the person. */

/** The service refused; the message is its own sentence. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** The service can't be reached. */
export class Unreachable extends Error {
  constructor() {
    super('The service can’t be reached. Check the connection and try again.');
  }
}

export const sentenceOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);
