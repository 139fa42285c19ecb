/**
 * What an environment says of the terminal, the connection and the service that this program itself was started in: wrong for whatever it starts,
 * and for as long as it runs.
 * @module
 */
import type { Environment } from './secrets.ts';

const names: readonly RegExp[] = [
  // Its size, and which terminal and which session of a multiplexer it is. TMUX_TMPDIR says where tmux keeps its sockets, which stays true.
  /^(COLUMNS|LINES|TERMCAP|WINDOWID|WINDOWPATH|STY|WINDOW|SHPOOL_.*|ZELLIJ.*|BYOBU_.*)$/,
  /^TMUX(?!_TMPDIR$)/,
  // The program that shows it, by which shells and editors switch on what only that one knows.
  /^(TERM_PROGRAM.*|TERM_SESSION_ID|TERM_FEATURES|LC_TERMINAL.*|TERMINAL_EMULATOR|COLORFGBG|VTE_VERSION|XTERM_.*|KONSOLE_.*|ITERM_.*|KITTY_.*|GHOSTTY_.*)$/,
  /^(WEZTERM_.*|ALACRITTY_.*|GNOME_TERMINAL_.*|TERMINATOR_.*|TILIX_.*|GUAKE_.*|WARP_.*|VSCODE_.*|ZED_TERM|INSIDE_EMACS|NVIM|NVIM_.*|VIM_TERMINAL|VIM_SERVERNAME)$/,
  /^(WT_SESSION|WT_PROFILE_ID|ConEmu.*|ANSICON.*|SHELL_SESSION_.*)$/,
  // The connection by which somebody started it (ssh(1), ENVIRONMENT), and what asks for passphrases there (gpg-agent(1)).
  /^(SSH_TTY|SSH_CONNECTION|SSH_CLIENT|SSH_ORIGINAL_COMMAND|GPG_TTY|MOSH_.*|ET_VERSION)$/,
  // What systemd and the wrapper say to this process alone (systemd.exec(5), sd_notify(3)).
  /^(NOTIFY_SOCKET|WATCHDOG_(PID|USEC)|LISTEN_(PID|FDS|FDNAMES)|MAINPID|JOURNAL_STREAM|NODE_CHANNEL_.*|NODE_UNIQUE_ID)$/,
];

export function withoutOwnTerminal(environment: Environment): Environment {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !names.some((pattern) => pattern.test(name))));
}
