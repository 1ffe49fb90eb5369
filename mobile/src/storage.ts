/** What this phone remembers between two starts, none of it secret: drafts, and what jobs looked
 * like. It may be gone at any time, and it is in no backup. */
import { Directory, File, Paths } from 'expo-file-system';

const FOLDER = new Directory(Paths.cache, 'remembered');
const file = (name: string) => new File(FOLDER, `${encodeURIComponent(name)}.txt`);

export function read(name: string): string | null {
  const found = file(name);
  return found.exists ? found.textSync() : null;
}

export function write(name: string, text: string): void {
  if (!FOLDER.exists) FOLDER.create({ intermediates: true });
  file(name).write(text);
}

export function forget(name: string): void {
  const found = file(name);
  if (found.exists) found.delete();
}

export function forgetAll(): void {
  if (FOLDER.exists) FOLDER.delete();
}
