import { describe, expect, it } from 'vitest';
import { compareBytes, findNearest, findNumericInversion } from '../../src/bundle/order.ts';

describe('compareBytes', () => {
  it('orders by the bytes of UTF-8, not by UTF-16 units and not by language', () => {
    expect(['ä.sql', 'b.sql', 'a.sql', 'Z.sql', 'a/x.sql', 'a-x.sql'].toSorted(compareBytes)).toEqual([
      'Z.sql',
      'a-x.sql',
      'a.sql',
      'a/x.sql',
      'b.sql',
      'ä.sql',
    ]);
    expect(['\u{1F9F5}', '\uFFFD'].toSorted(compareBytes)).toEqual(['\uFFFD', '\u{1F9F5}']);
    expect(['\u{1F9F5}', '\uFFFD'].toSorted()).toEqual(['\u{1F9F5}', '\uFFFD']);
  });
});

describe('findNumericInversion', () => {
  it.each([
    [
      ['V10__b.sql', 'V2__a.sql'],
      ['V10__b.sql', 'V2__a.sql'],
    ],
    [
      ['V10__b.sql', 'V1__a.sql'],
      ['V10__b.sql', 'V1__a.sql'],
    ],
    [
      ['a/10/x.sql', 'a/9/x.sql'],
      ['a/10/x.sql', 'a/9/x.sql'],
    ],
    [
      ['V2.1__b.sql', 'V2__a.sql'],
      ['V2.1__b.sql', 'V2__a.sql'],
    ],
    [
      ['V1__x.sql', 'V2_1__b.sql', 'V2__a.sql', 'V3__c.sql'],
      ['V2_1__b.sql', 'V2__a.sql'],
    ],
    [
      ['V1.2.1__b.sql', 'V1.2__a.sql'],
      ['V1.2.1__b.sql', 'V1.2__a.sql'],
    ],
    [
      ['2.1-b.sql', '2.sql'],
      ['2.1-b.sql', '2.sql'],
    ],
    [
      ['1_10.sql', '1_9.sql'],
      ['1_10.sql', '1_9.sql'],
    ],
    [['V2.0__a.sql', 'V2.1__b.sql'], null],
    [['001_2024.sql', '001_a.sql', '002.sql'], null],
    [['001.sql', '002.sql', '010.sql'], null],
    [['20240101_a.sql', '20240102_b.sql'], null],
    [['a-1.sql', 'a1.sql'], null],
    [['01.sql', '1.sql'], null],
    [[], null],
  ])('%j: %j', (paths, inversion) => {
    expect(paths).toEqual(paths.toSorted(compareBytes));
    expect(findNumericInversion(paths)).toEqual(inversion);
  });

  it('takes a day, and a day with a time, for dates and not for a small number and a large one', () => {
    expect(findNumericInversion(['20250604085536_a', '20250625_b', '202507011200_c', '20250702_d'])).toBeNull();
    expect(findNumericInversion(['20250625093000_a', '20250625_b'])).toEqual(['20250625093000_a', '20250625_b']);
    expect(findNumericInversion(['20259904085536_a', '20259925_b'])).toEqual(['20259904085536_a', '20259925_b']);
  });

  it('looks at each character of a name a few times, however many digits stand there: at each as often as there are digits, this would take minutes', () => {
    const digits = '1'.repeat(300_000);
    expect(findNumericInversion([`${digits}x10`, `${digits}x2`])).toEqual([`${digits}x10`, `${digits}x2`]);
    expect(findNumericInversion([`${digits}xa`, `${digits}xb`])).toBeNull();
  });
});

describe('findNearest', () => {
  it.each([
    ['fases', 'phases'],
    ['Phases', 'phases'],
    ['setps', 'steps'],
    ['trasnaction', 'transaction'],
    ['zebra', null],
  ])('%s: %s', (word, nearest) => {
    expect(findNearest(word, ['name', 'phases', 'steps', 'transaction'])).toBe(nearest);
  });
});
