// What a device has: jest-expo leaves native modules empty.
const mockKept = new Map<string, string>();

jest.mock('expo-crypto', () => ({
  ...jest.requireActual('expo-crypto'),
  getRandomBytes: (count: number) => globalThis.crypto.getRandomValues(new Uint8Array(count)),
}));
jest.mock('expo-secure-store', () => ({
  getItemAsync: async (name: string) => mockKept.get(`secret:${name}`) ?? null,
  setItemAsync: async (name: string, value: string) => void mockKept.set(`secret:${name}`, value),
  deleteItemAsync: async (name: string) => void mockKept.delete(`secret:${name}`),
}));
jest.mock('expo-file-system', () => ({
  Paths: { cache: '/' },
  Directory: class {
    exists = true;
    delete() {
      for (const name of [...mockKept.keys()]) if (name.startsWith('file:')) mockKept.delete(name);
    }
  },
  File: class {
    name: string;
    constructor(_: unknown, name: string) {
      this.name = `file:${name}`;
    }
    get exists() {
      return mockKept.has(this.name);
    }
    textSync() {
      return mockKept.get(this.name)!;
    }
    write(text: string) {
      mockKept.set(this.name, text);
    }
    delete() {
      mockKept.delete(this.name);
    }
  },
}));
