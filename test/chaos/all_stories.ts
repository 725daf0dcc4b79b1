/** Every story that a campaign can tell. */
import { DEPLOY, type Story } from './stories.ts';

export const STORIES: readonly Story[] = [DEPLOY];
