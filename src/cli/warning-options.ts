/** `-w`: which warnings a source gives, for every command that assembles one for the user. */

import { didYouMean } from '../../lang/assembler/suggest.ts';
import { WarningSettings, warningNames } from '../../lang/assembler/warning-classes.ts';
import { UsageError } from './usage-error.ts';

/** `-w` options as settings; a name that does not exist is a mistake of the user's. */
export function warningSettings(command: string, options: readonly string[]): WarningSettings {
  const settings = new WarningSettings();
  for (const option of options) {
    if (settings.apply(option)) continue;
    const name = option.replace(/^([-+*]|no-)?(error=)?/, '');
    throw new UsageError(`gvm ${command}: -w: there is no warning '${name}'${didYouMean(name, warningNames())}`);
  }
  return settings;
}
