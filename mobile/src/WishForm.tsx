/** What is wanted, and where. */
import { useState } from 'react';
import { ScrollView, StyleSheet, View } from 'react-native';

import type { Issue, Repository } from './api/client';
import { Composer } from './Composer';
import { hasEnded } from './fold';
import { JobRow } from './JobRow';
import { Picker } from './Picker';
import { Room } from './Room';
import { useSession } from './session';
import * as storage from './storage';
import { column, space, useTheme } from './theme';
import { Card, Heading, Problem, Words } from './ui';
import { useDraft } from './useDraft';
import { useJobs } from './useJobs';

const MOST = 3; // jobs under way that show

/** Where the last wish went. */
type Place = { repository: string; defaultBranch: string; branch: string | null };

export function WishForm({ onAsked }: { onAsked: (job: string) => void }) {
  const { api, explain } = useSession();
  const theme = useTheme();
  const [place, setPlace] = useState<Place | null>(() => {
    const kept = storage.read('place');
    return kept ? (JSON.parse(kept) as Place) : null;
  });
  const [issue, setIssue] = useState<Issue | null>(null);
  const [text, setText] = useDraft('wish');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState('');
  if (!api) return null;

  function choose(next: Place) {
    if (next.repository !== place?.repository) setIssue(null);
    setPlace(next);
    storage.write('place', JSON.stringify(next));
  }

  async function handleAsk() {
    if (!api || !place) {
      setProblem('Choose a repository first.');
      return;
    }
    setBusy(true);
    setProblem('');
    try {
      const job = await api.askPlan({
        repository: place.repository,
        text: text.trim() || 'Do what the issue asks for.',
        ...(place.branch ? { base: place.branch } : {}),
        ...(issue ? { issue: issue.number } : {}),
      });
      setText('');
      setIssue(null);
      onAsked(job);
    } catch (error) {
      setProblem(explain(error));
    } finally {
      setBusy(false);
    }
  }

  return (
    <Room>
      <ScrollView
        style={styles.all}
        contentContainerStyle={styles.page}
        keyboardShouldPersistTaps="handled"
      >
        <Heading level={1}>What should be built?</Heading>
        <Card tight>
          <Picker<Repository>
            label="Repository"
            title="Choose a repository"
            value={place?.repository ?? 'Choose …'}
            search={(query) => api.repositories(query)}
            nameOf={(found) => found.full_name}
            render={(found) => <RepositoryRow repository={found} />}
            onChoose={(found) =>
              choose({
                repository: found.full_name,
                defaultBranch: found.default_branch,
                branch: null,
              })
            }
          />
          {place ? (
            <>
              <Picker<string>
                label="Branch"
                title="Choose a branch"
                value={place.branch ?? place.defaultBranch}
                search={(query) => api.branches(place.repository, query)}
                nameOf={(found) => found}
                render={(found) => <Words>{found}</Words>}
                onChoose={(found) =>
                  choose({ ...place, branch: found === place.defaultBranch ? null : found })
                }
              />
              <Picker<Issue>
                label="Issue"
                title="Choose an issue"
                value={issue ? `#${issue.number} ${issue.title}` : 'None'}
                search={(query) => api.issues(place.repository, query)}
                nameOf={(found) => `#${found.number} ${found.title}`}
                render={(found) => <IssueRow issue={found} />}
                onChoose={setIssue}
                none={{ label: 'No issue', onChoose: () => setIssue(null) }}
              />
            </>
          ) : null}
        </Card>
        <Words tone="muted">
          You get a plan first. Nothing is changed until you accept it, and then a draft pull
          request is all that comes of it.
        </Words>
        {problem ? <Problem>{problem}</Problem> : null}
        <UnderWay />
      </ScrollView>
      <View style={[styles.bar, { backgroundColor: theme.card, borderColor: theme.border }]}>
        <View style={styles.column}>
          <Composer
            label="Your wish"
            placeholder={issue ? 'Anything to add to the issue?' : 'Describe what to build …'}
            action="Make a plan"
            text={text}
            onChange={setText}
            onSend={() => void handleAsk()}
            busy={busy}
            optional={issue !== null}
          />
        </View>
      </View>
    </Room>
  );
}

/** What waits for the person, then what is at work. */
function UnderWay() {
  const { jobs } = useJobs(null);
  const open = (jobs ?? []).filter((job) => !hasEnded(job.state));
  const waiting = open.filter((job) => job.state === 'awaiting_approval');
  const shown = [...waiting, ...open.filter((job) => !waiting.includes(job))].slice(0, MOST);
  if (!shown.length) return null;
  return (
    <>
      <Heading>Under way</Heading>
      {shown.map((job) => (
        <JobRow key={job.job_id} job={job} />
      ))}
    </>
  );
}

function RepositoryRow({ repository }: { repository: Repository }) {
  const notes = [
    repository.private ? 'private' : '',
    repository.push ? '' : 'read only',
    repository.description ?? '',
  ].filter(Boolean);
  return (
    <>
      <Words>{repository.full_name}</Words>
      {notes.length ? (
        <Words small tone="muted" lines={1}>
          {notes.join(' · ')}
        </Words>
      ) : null}
    </>
  );
}

function IssueRow({ issue }: { issue: Issue }) {
  return (
    <>
      <Words lines={2}>{`#${issue.number} ${issue.title}`}</Words>
      {issue.labels.length ? (
        <Words small tone="muted" lines={1}>
          {issue.labels.join(' · ')}
        </Words>
      ) : null}
    </>
  );
}

const styles = StyleSheet.create({
  all: { flex: 1 },
  page: { ...column, gap: space.medium, padding: space.medium },
  bar: { borderTopWidth: 1, paddingVertical: 12 },
  column: { ...column, paddingHorizontal: space.medium },
});
