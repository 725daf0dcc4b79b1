/** Every story that a campaign can tell. */
import { BASELINE } from './baseline_story.ts';
import { REOPENED } from './reopened_story.ts';
import { DEPLOY, type Story } from './stories.ts';
import { UNDO } from './undo_story.ts';

export const STORIES: readonly Story[] = [DEPLOY, UNDO, REOPENED, BASELINE];
