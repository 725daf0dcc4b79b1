import { describe, expect, it } from 'vitest';
import { clock, columns, cut, cutFront, duration, harmless, nearest, size, widthOf, wrap } from '../../src/words/text.ts';

describe('text for people', () => {
  it('shows control characters instead of obeying them', () => {
    expect(harmless('a\u001b[2Jb\u0007\u009bc\r')).toBe('a\\x1b[2Jb\\x07\\x9bc\\x0d');
    expect(harmless('001_\u202elqs.eerf\u202c \u2067a\u200f\u061c')).toBe('001_\\u202elqs.eerf\\u202c \\u2067a\\u200f\\u061c');
    expect(harmless('1\u200b.sql 1\u00ad\u2060\ufeff\u3164.sql 1\u{e0041}.sql')).toBe('1\\u200b.sql 1\\xad\\u2060\\ufeff\\u3164.sql 1\\u{e0041}.sql');
    expect(harmless('👩\u200d🔬 ❤\ufe0f \u0645\u06cc\u200c\u062e')).toBe('👩\u200d🔬 ❤\ufe0f \u0645\u06cc\u200c\u062e');
    expect(harmless('line\n\ttab')).toBe('line\n\ttab');
    expect(harmless('line\r\nof another system\r\n')).toBe('line\nof another system\n');
  });

  it('writes sizes', () => {
    expect([0, 1023, 1024, 1536, 1024 * 1024 - 1, 90 * 1024 * 1024].map(size)).toEqual(['0 B', '1023 B', '1.0 KiB', '1.5 KiB', '1.0 MiB', '90.0 MiB']);
  });

  it('writes durations', () => {
    expect([0.4, 12, 999.4, 999.6, 3400, 59_949, 59_951, 125_000, 3_599_600, 3_720_000].map(duration)).toEqual([
      '0 ms',
      '12 ms',
      '999 ms',
      '1 s',
      '3.4 s',
      '59.9 s',
      '1 min 00 s',
      '2 min 05 s',
      '1 h 00 min',
      '1 h 02 min',
    ]);
  });

  it('writes a clock', () => {
    expect([0, 999, 7000, 750_000, 3_723_000].map(clock)).toEqual(['0:00', '0:00', '0:07', '12:30', '1:02:03']);
  });

  it('cuts lines by characters, at either end', () => {
    expect(cut('abcdef', 4)).toBe('abc…');
    expect(cut('abcd', 4)).toBe('abcd');
    expect(cutFront('a/b/c.sql', 6)).toBe('…c.sql');
    expect(cut('𝒳𝒳𝒳', 2)).toBe('𝒳…');
  });

  it('counts what a terminal gives each character: two cells, one, or none', () => {
    expect(['abc', '表', 'ﾃｰ', '한글', 'Ａ', '🚀', 'é', 'e\u0301', '𝒳', '…'].map(widthOf)).toEqual([3, 2, 2, 4, 2, 2, 1, 1, 1, 1]);
    expect([cut('注文の表を作る', 6), cutFront('注文の表を作る', 6), cut('注文', 4)]).toEqual(['注文…', '…作る', '注文']);
    expect(
      columns([
        ['表', 'b'],
        ['aaa', 'b'],
      ]),
    ).toEqual(['表   b', 'aaa  b']);
  });

  it('aligns columns', () => {
    expect(
      columns(
        [
          ['a', 'bb', 'c'],
          ['aaa', 'b', 'ccc'],
        ],
        '  ',
      ),
    ).toEqual(['  a    bb  c', '  aaa  b   ccc']);
  });

  it('wraps prose and keeps paragraphs', () => {
    expect(wrap('one two three\nfour', 8, ' ')).toBe(' one two\n three\n four');
  });

  it('finds the name that was meant, and none when none is near', () => {
    expect(nearest('statsu', ['status', 'history'])).toBe('status');
    expect(nearest('hist', ['status', 'history'])).toBe('history');
    expect(nearest('wombat', ['status', 'history'])).toBeNull();
  });
});
