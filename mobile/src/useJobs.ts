/** A list of jobs that is looked at again and again while somebody looks at it. */
import { useIsFocused } from 'expo-router';
import { useEffect, useState } from 'react';

import type { Status } from './api/client';
import { useSession } from './session';
import * as storage from './storage';
import { useAwake } from './useAwake';

const LOOK_EVERY = 5_000; // milliseconds

type Jobs = {
  /** Null while nothing is known. */
  jobs: Status[] | null;
  /** Why what is shown may be old. */
  problem: string;
  /** Looks at once; resolves when it has. */
  look: () => Promise<void>;
};

/** One's own newest jobs, or with a repository everybody's in there. */
export function useJobs(repository: string | null): Jobs {
  const { api, explain } = useSession();
  const awake = useAwake();
  const focused = useIsFocused();
  const name = `jobs:${repository ?? ''}`;
  const [found, setFound] = useState<{ name: string; jobs: Status[] } | null>(null);
  const [problem, setProblem] = useState('');

  async function look(wanted: () => boolean = () => true) {
    if (!api) return;
    try {
      const jobs = await api.jobs(repository);
      if (!wanted()) return;
      storage.write(name, JSON.stringify(jobs));
      setFound({ name, jobs });
      setProblem('');
    } catch (error) {
      if (wanted()) setProblem(explain(error));
    }
  }

  useEffect(() => {
    if (!api || !awake || !focused) return;
    let shown = true;
    const again = () => void look(() => shown);
    again();
    const timer = setInterval(again, LOOK_EVERY);
    return () => {
      shown = false;
      clearInterval(timer);
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps -- `look` is made of these
  }, [api, awake, focused, name]);

  const jobs = found?.name === name ? found.jobs : kept(name);
  return { jobs, problem, look: () => look() };
}

function kept(name: string): Status[] | null {
  const text = storage.read(name);
  return text ? (JSON.parse(text) as Status[]) : null;
}
