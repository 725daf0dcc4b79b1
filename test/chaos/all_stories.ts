/** Every story that a campaign can tell. */
import { APART } from './apart_story.ts';
import { BASELINE } from './baseline_story.ts';
import { REOPENED } from './reopened_story.ts';
import { DEPLOY, LARGE, type Story } from './stories.ts';
import { SWEEP } from './sweep_story.ts';
import { UNDO } from './undo_story.ts';
import { UPGRADE } from './upgrade_story.ts';

export const STORIES: readonly Story[] = [DEPLOY, LARGE, UNDO, REOPENED, BASELINE, APART, SWEEP, UPGRADE];
