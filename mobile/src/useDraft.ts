/** Words that a person has not sent yet; they outlive a reload and a sign-in. */
import { useState } from 'react';

import * as storage from './storage';

export function useDraft(place: string): [string, (text: string) => void] {
  const name = `draft:${place}`;
  const [text, setText] = useState(() => storage.read(name) ?? '');
  return [
    text,
    (next) => {
      setText(next);
      if (next) storage.write(name, next);
      else storage.forget(name);
    },
  ];
}
