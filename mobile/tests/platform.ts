// What a device has: jest-expo leaves native modules empty.
jest.mock('expo-crypto', () => ({
  getRandomBytes: (count: number) => globalThis.crypto.getRandomValues(new Uint8Array(count)),
}));
