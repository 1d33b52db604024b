/**
 * Writes the completion script of a shell.
 *
 * The scripts ask `kubelayer __complete` for everything, so all shells complete the same.
 */
import * as Effect from "effect/Effect"
import { Screen } from "../Screen.ts"

const bash = `# Completion of kubelayer and kl for bash: source <(kubelayer completion bash)
_kubelayer() {
  local line value before="" words=() word joined=""
  # bash splits words at "="; they are joined again.
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD}"; do
    if [[ $word == = && \${#words[@]} -gt 0 ]]; then words[-1]+="="; joined=1
    elif [[ -n $joined ]]; then words[-1]+=$word; joined=""
    else words+=("$word"); fi
  done
  [[ \${words[-1]} == -*=* ]] && before="\${words[-1]%%=*}="
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == :files ]]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r value; do COMPREPLY+=("$value"); done < <(compgen -f -- "\${COMP_WORDS[COMP_CWORD]#=}")
    else
      value="\${line%%$'\\t'*}"
      printf -v value '%q' "\${value#"$before"}"
      COMPREPLY+=("$value")
    fi
  done < <("\${COMP_WORDS[0]}" __complete "\${words[@]}" 2>/dev/null)
}
complete -F _kubelayer kubelayer kl`

const zsh = `#compdef kubelayer kl
# Completion of kubelayer and kl for zsh: source <(kubelayer completion zsh), or a file _kubelayer in the fpath
_kubelayer() {
  local line value
  local -a offered
  for line in "\${(@f)$("\${words[1]}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -z $line ]] && continue
    if [[ $line == :files ]]; then _files; return; fi
    value="\${\${line%%$'\\t'*}//:/\\\\:}"
    [[ $line == *$'\\t'* ]] && value+=":\${line#*$'\\t'}"
    offered+=("$value")
  done
  (( \${#offered} )) && _describe -V kubelayer offered
}
if [[ "\${zsh_eval_context[-1]}" == loadautofunc ]]; then
  _kubelayer "$@"
else
  compdef _kubelayer kubelayer kl
fi`

const fish =
  `# Completion of kubelayer and kl for fish: kubelayer completion fish > ~/.config/fish/completions/kubelayer.fish
function __kubelayer_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    for line in ($before[1] __complete $before[2..-1] "$current" 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end
complete -c kubelayer -f -k -a '(__kubelayer_complete)'
complete -c kl -f -k -a '(__kubelayer_complete)'`

const scripts = { bash, zsh, fish }

export const completion = Effect.fnUntraced(function*({ shell }: { readonly shell: keyof typeof scripts }) {
  const screen = yield* Screen
  yield* screen.out(scripts[shell])
  return 0
})
