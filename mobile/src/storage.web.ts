/** What this browser remembers between two visits, none of it secret. */
const PREFIX = 'vibecoder:';

const names = () => Object.keys(localStorage).filter((name) => name.startsWith(PREFIX));

export const read = (name: string): string | null => localStorage.getItem(PREFIX + name);

export function write(name: string, text: string): void {
  try {
    localStorage.setItem(PREFIX + name, text);
  } catch {
    // Full. Jobs take most of it, and the service has them.
    for (const each of names()) if (each.startsWith(`${PREFIX}job:`)) localStorage.removeItem(each);
  }
}

export const forget = (name: string): void => localStorage.removeItem(PREFIX + name);

export function forgetAll(): void {
  for (const name of names()) localStorage.removeItem(name);
}
