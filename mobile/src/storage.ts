/** Where the phone keeps the sign-in: the system's key store. */
import * as SecureStore from 'expo-secure-store';

const NAME = 'vibecoder.sign-in';

export const read = (): Promise<string | null> => SecureStore.getItemAsync(NAME);
export const write = (value: string): Promise<void> => SecureStore.setItemAsync(NAME, value);
export const forget = (): Promise<void> => SecureStore.deleteItemAsync(NAME);
