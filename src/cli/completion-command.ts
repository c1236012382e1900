/** `gvm completion`: a script that teaches a shell gvm's commands, events, devices and files. */

import { events } from '../event.ts';
import { modelNames } from '../qemu/hw/registry.ts';
import { type Command, parserOf } from './command.ts';
import { EXIT } from './exit-status.ts';
import { allSources } from './explain/topics.ts';
import { print } from './output.ts';
import { UsageError } from './usage-error.ts';

/** What there is to complete. */
interface Vocabulary {
  readonly commands: readonly (readonly [name: string, summary: string])[];
  readonly events: readonly string[];
  readonly devices: readonly string[];
  readonly topics: readonly string[];
}

/** Bash: the word behind --trace is a list with commas, of which the last is completed. */
const bash = ({ commands, events, devices, topics }: Vocabulary): string => `_gvm() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]}
  if [ "$COMP_CWORD" = 1 ]; then
    COMPREPLY=($(compgen -W '${commands.map(([name]) => name).join(' ')} --help --version' -- "$word"))
    return
  fi
  if [ "\${COMP_WORDS[1]}" = explain ]; then
    COMPREPLY=($(compgen -W '${topics.join(' ')}' -- "$word"))
    return
  fi
  case $before in
    --trace)
      local last=\${word##*,}
      local head=\${word%"$last"}
      COMPREPLY=($(compgen -W '${events.join(' ')}' -- "$last"))
      COMPREPLY=("\${COMPREPLY[@]/#/$head}") ;;
    -device|--device)
      COMPREPLY=($(compgen -W '${devices.join(' ')} help' -- "$word")) ;;
    *)
      COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}
complete -o filenames -F _gvm gvm
`;

/** Zsh runs bash's function by its own emulation of bash's completion. */
const zsh = (words: Vocabulary): string => `autoload -U +X compinit && compinit
autoload -U +X bashcompinit && bashcompinit
${bash(words)}`;

const fish = ({ commands, events, devices, topics }: Vocabulary): string =>
  [
    ...commands.map(
      ([name, summary]) =>
        `complete -c gvm -n __fish_use_subcommand -f -a ${name} -d '${summary.replaceAll("'", "\\'")}'`,
    ),
    `complete -c gvm -n '__fish_seen_subcommand_from explain' -f -a '${topics.join(' ')}'`,
    // fish's own function for lists with commas.
    `complete -c gvm -l trace -x -a '(__fish_append , ${events.join(' ')})'`,
    `complete -c gvm -o device -x -a '${devices.join(' ')} help'`,
    '',
  ].join('\n');

const shells: Readonly<Record<string, (words: Vocabulary) => string>> = { bash, zsh, fish };

const USAGE = `SHELL

Print a completion script for bash, zsh or fish, with the commands, events, devices and topics of this gvm:

  eval "$(gvm completion bash)"`;

/** `commands` tells the commands there are, by name. */
export const completionCommand = (commands: () => Iterable<readonly [string, Command]>): Command => ({
  summary: 'a completion script for bash, zsh or fish',
  main(words) {
    const options = parserOf('completion', USAGE, { least: 1, most: 1, called: 'a shell' }).parseSync(
      words as string[],
    );
    if (options['help'] === true) return EXIT.OK;
    const name = String(options._[0]);
    const script = Object.hasOwn(shells, name) ? shells[name] : undefined;
    if (script === undefined)
      throw new UsageError(
        `gvm completion: there is no script for '${name}', only for ${Object.keys(shells).join(', ')}`,
      );
    print(
      script({
        commands: [...commands()].map(([command, { summary }]) => [command, summary]),
        events: events().map(({ title }) => title),
        devices: modelNames(),
        topics: allSources().flatMap(({ names }) => [...names()]),
      }),
    );
    return EXIT.OK;
  },
});
