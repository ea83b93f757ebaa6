/** Times as people read them. */

const UNITS: ReadonlyArray<readonly [Intl.RelativeTimeFormatUnit, number]> = [
  ['year', 365 * 86_400],
  ['month', 30 * 86_400],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60]
];

/**
 * Say how long ago something was: `3 min. ago`.
 *
 * @param seconds - When it was, in seconds since 1970.
 * @param language - A BCP 47 tag; what it does not know falls back to the browser's own.
 */
export function ago(seconds: number, language?: string): string {
  const elapsed = Math.max(0, Date.now() / 1000 - seconds);
  const format = new Intl.RelativeTimeFormat(language, { numeric: 'auto', style: 'short' });
  for (const [unit, length] of UNITS) {
    if (elapsed >= length) {
      return format.format(-Math.floor(elapsed / length), unit);
    }
  }
  return format.format(0, 'second');
}
