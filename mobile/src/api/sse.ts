/** The text/event-stream format (https://html.spec.whatwg.org/multipage/server-sent-events.html),
 * as far as a job's events need it. Pure. */

export type Message = { id: string; event: string; data: string };

/** Feed it text as it arrives; it answers the messages that became whole. */
export function reader(): (chunk: string) => Message[] {
  let rest = '';
  let id = '';
  let event = '';
  let data: string[] = [];

  return (chunk) => {
    const found: Message[] = [];
    const text = rest + chunk;
    // A trailing \r may be half of a \r\n that was split between two chunks.
    const usable = text.endsWith('\r') ? text.length - 1 : text.length;
    const lines = text.slice(0, usable).split(/\r\n|\r|\n/);
    rest = (lines.pop() ?? '') + text.slice(usable);
    for (const line of lines) {
      if (line === '') {
        if (data.length) found.push({ id, event: event || 'message', data: data.join('\n') });
        event = '';
        data = [];
        continue;
      }
      const colon = line.indexOf(':');
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (field === 'data') data.push(value);
      else if (field === 'id') id = value;
      else if (field === 'event') event = value;
    }
    return found;
  };
}
