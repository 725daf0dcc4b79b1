/** Number 47 of 52 is cut while it builds an index: its backend is ended, or goes on for a client that the network keeps from it. Else: two_am_cuts.test.ts. */
import { describeCuts, describeRepeatedCuts } from './two_am.ts';

describeCuts(['the backend is terminated', 'the network is silent']);
describeRepeatedCuts();
