/** A browser has no key store, and what it keeps every script of the page can read. So the sign-in
 * lives in memory and is gone with the page. */
export const read = async (): Promise<string | null> => null;
export const write = async (_value: string): Promise<void> => undefined;
export const forget = async (): Promise<void> => undefined;
