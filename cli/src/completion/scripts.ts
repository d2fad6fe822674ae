/** Shells that completion exists for. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/**
 * What a shell is to source. Each script hands the words typed so far to the hidden command `__complete`, which prints one candidate
 * a line, `VALUE<tab>DESCRIPTION`; so commands, options and the names of what exists come from one place.
 */
export function completionScript(shell: Shell): string {
  switch (shell) {
    case 'bash':
      return BASH;
    case 'zsh':
      return ZSH;
    case 'fish':
      return FISH;
  }
}

const BASH = `# rivera completion for bash. Add to ~/.bashrc:  source <(rivera completion bash)
_rivera() {
  local words=("\${COMP_WORDS[@]:1:COMP_CWORD-1}") current="\${COMP_WORDS[COMP_CWORD]}" candidates
  candidates=$("\${COMP_WORDS[0]}" __complete -- "\${words[@]}" "$current" 2>/dev/null | cut -f1)
  if [ -z "$candidates" ]; then
    COMPREPLY=()
    compopt -o default 2>/dev/null
    return
  fi
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$candidates" -- "$current"))
}
complete -F _rivera rivera
`;

const ZSH = `#compdef rivera
# rivera completion for zsh. Add to ~/.zshrc:  source <(rivera completion zsh)
_rivera() {
  local -a candidates
  local value description
  while IFS=$'\\t' read -r value description; do
    [[ -n $value ]] && candidates+=("\${value//:/\\\\:}\${description:+:$description}")
  done < <("\${words[1]}" __complete -- "\${(@)words[2,CURRENT-1]}" "\${words[CURRENT]}" 2>/dev/null)
  if (( \${#candidates} )); then
    _describe 'rivera' candidates
  else
    _files
  fi
}
if [ "$funcstack[1]" = "_rivera" ]; then _rivera "$@"; else compdef _rivera rivera; fi
`;

const FISH = `# rivera completion for fish. Add to ~/.config/fish/config.fish:  rivera completion fish | source
function __rivera_complete
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  $words[1] __complete -- $words[2..-1] "$current" 2>/dev/null
end
complete -c rivera -f -a '(__rivera_complete)'
`;
