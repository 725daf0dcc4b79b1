/** What reads otherwise than the command knows it makes nothing else unreadable. */
import { expect, it } from 'vitest';
import { deploymentSchema } from '../../src/domain/deployment.ts';
import { renderRehearsal } from '../../src/words/rehearsal.ts';
import { UNCOLOURED } from '../../src/words/style.ts';
import { ID, makeDeployment } from './deployments.ts';

it('a report with an odd line is left out, said to be so, and the rest of the deployment is read', () => {
  const rehearsal = {
    milliseconds: 1,
    passes: 1,
    steps: [{ phase: 'code (again)', path: null, kind: null, state: null }],
    locks: [],
    catalog: null,
  };
  const read = deploymentSchema.parse({ ...makeDeployment({ state: 'succeeded', mode: 'rehearse' }), rehearsal });
  expect(read).toMatchObject({ id: ID, state: 'succeeded', rehearsal: null });
  const text = renderRehearsal(read, UNCOLOURED);
  expect(text).toMatch(/^Rehearsed\. Nothing of shop is in the database\./);
  expect(text).toContain(`It has a report, which this version of weft cannot read. In SQL: select jsonb_pretty(weft.status('${ID}') -> 'rehearsal');`);
});

it('so is a comparison of catalogs', () => {
  const odd = { verdict: 'unheard of', count: 1, objects: [] };
  expect(deploymentSchema.parse({ ...makeDeployment({ state: 'succeeded' }), compared: odd, drift_found: odd })).toMatchObject({
    state: 'succeeded',
    compared: null,
    drift_found: null,
  });
});
