/** Signing in on a phone: GitHub in the system's browser, a session in the system's key store. */
import {
  CryptoDigestAlgorithm,
  CryptoEncoding,
  digestStringAsync,
  getRandomBytes,
} from 'expo-crypto';
import * as Linking from 'expo-linking';
import * as SecureStore from 'expo-secure-store';
import * as WebBrowser from 'expo-web-browser';

import { exchange } from './api/client';

/** `token` is null where the browser has a cookie. */
export type SignedIn = { server: string; token: string | null };

const NAME = 'vibecoder.sign-in';

/** An app from a store does not know whose service it is to talk to. */
export const asksForServer = true;

export async function restore(): Promise<SignedIn | null> {
  const kept = await SecureStore.getItemAsync(NAME);
  return kept ? (JSON.parse(kept) as SignedIn) : null;
}

/** Null where the person changed their mind. */
export async function signIn(server: string): Promise<SignedIn | null> {
  const redirect = Linking.createURL('signed-in');
  const verifier = base64url(getRandomBytes(32));
  // What the service sees first does not open what it hands out in the end (RFC 7636).
  const digest = await digestStringAsync(CryptoDigestAlgorithm.SHA256, verifier, {
    encoding: CryptoEncoding.BASE64,
  });
  const query = new URLSearchParams({ challenge: urlSafe(digest), redirect });
  const result = await WebBrowser.openAuthSessionAsync(`${server}/auth/github?${query}`, redirect);
  if (result.type !== 'success') return null;
  const { code, error } = Linking.parse(result.url).queryParams ?? {};
  if (error) throw new Error('You are not signed in. Please try again.');
  if (typeof code !== 'string') throw new Error('The service sent no code. Please try again.');
  const { token } = await exchange(server, code, verifier);
  const signedIn = { server, token };
  await SecureStore.setItemAsync(NAME, JSON.stringify(signedIn));
  return signedIn;
}

export const forget = (): Promise<void> => SecureStore.deleteItemAsync(NAME);

const base64url = (bytes: Uint8Array): string =>
  urlSafe(globalThis.btoa(String.fromCharCode(...bytes)));

const urlSafe = (base64: string): string =>
  base64.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
