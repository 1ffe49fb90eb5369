/** How it ended: the pull request with one tap, or why there is none. */
import { useEffect, useRef, useState } from 'react';

import { Markdown } from '../Markdown';
import { useSession } from '../session';
import { Button, Card, Code, CopyButton, LinkButton, Problem, Words } from '../ui';
import type { Watched } from '../useJob';

export function Ending({ id, view, status }: Watched & { id: string }) {
  const { end } = view;
  if (!end) return null;
  const url = view.pull?.url ?? status?.pull_request_url ?? null;
  return (
    <Card>
      {url ? <Pull url={url} /> : view.commits.length ? <MakePull id={id} /> : null}
      {end.outcome === 'failed' ? (
        <Problem>{end.summary}</Problem>
      ) : (
        <Markdown>{end.summary}</Markdown>
      )}
      {end.notDone.length ? (
        <Markdown>{`Not done:\n\n${end.notDone.map((it) => `- ${it}`).join('\n')}`}</Markdown>
      ) : null}
      {view.rescued && status?.patch ? (
        <>
          <Words>GitHub did not take a commit. Nothing is lost: this puts it on your branch.</Words>
          <CopyButton
            label="Copy the command that applies the commit"
            text={`echo ${status.patch} | base64 -d | gunzip | git am`}
          />
        </>
      ) : null}
    </Card>
  );
}

function Pull({ url }: { url: string }) {
  return (
    <>
      <LinkButton label="Open pull request" url={url} />
      <Code>{url}</Code>
    </>
  );
}

/** There are commits and no pull request: it can be made. */
function MakePull({ id }: { id: string }) {
  const { api, explain } = useSession();
  const [busy, setBusy] = useState(false);
  const [url, setUrl] = useState('');
  const [problem, setProblem] = useState('');
  const shown = useRef<AbortController | null>(null);

  useEffect(() => {
    const controller = new AbortController();
    shown.current = controller;
    return () => controller.abort();
  }, []);

  async function handleMake() {
    const signal = shown.current?.signal;
    if (!api || !signal) return;
    setBusy(true);
    setProblem('');
    try {
      setUrl(await api.createPullRequest(id, signal));
    } catch (error) {
      if (!signal.aborted) setProblem(explain(error));
    } finally {
      setBusy(false);
    }
  }

  if (url) return <Pull url={url} />;
  return (
    <>
      <Button label="Make a pull request" busy={busy} onPress={handleMake} />
      {problem ? <Problem>{problem}</Problem> : null}
    </>
  );
}
