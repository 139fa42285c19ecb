/**
 * Removes variables that describe the terminal, the connection and the service that this program itself was started in:
 * they are wrong for the programs that it starts.
 * @module
 */
import type { Environment } from './secrets.ts';

const names: readonly RegExp[] = [
  // Size, terminal and multiplexer session. TMUX_TMPDIR is the folder of tmux's sockets, which stays true.
  /^(COLUMNS|LINES|TERMCAP|WINDOWID|WINDOWPATH|STY|WINDOW|SHPOOL_.*|ZELLIJ.*|BYOBU_.*)$/,
  /^TMUX(?!_TMPDIR$)/,
  // The terminal program, by which shells and editors enable features that only it has.
  /^(TERM_PROGRAM.*|TERM_SESSION_ID|TERM_FEATURES|LC_TERMINAL.*|TERMINAL_EMULATOR|COLORFGBG|VTE_VERSION)$/,
  /^(XTERM_.*|KONSOLE_.*|ITERM_.*|KITTY_.*|GHOSTTY_.*)$/,
  /^(WEZTERM_.*|ALACRITTY_.*|GNOME_TERMINAL_.*|TERMINATOR_.*|TILIX_.*|GUAKE_.*|WARP_.*)$/,
  /^(VSCODE_.*|ZED_TERM|INSIDE_EMACS|NVIM|NVIM_.*|VIM_TERMINAL|VIM_SERVERNAME)$/,
  /^(WT_SESSION|WT_PROFILE_ID|ConEmu.*|ANSICON.*|SHELL_SESSION_.*)$/,
  // The connection through which this program was started (ssh(1), ENVIRONMENT), and where passphrases are asked for
  // (gpg-agent(1)).
  /^(SSH_TTY|SSH_CONNECTION|SSH_CLIENT|SSH_ORIGINAL_COMMAND|GPG_TTY|MOSH_.*|ET_VERSION)$/,
  // Variables of systemd and of the wrapper for this process alone (systemd.exec(5), sd_notify(3)).
  /^(NOTIFY_SOCKET|WATCHDOG_(PID|USEC)|LISTEN_(PID|FDS|FDNAMES)|MAINPID|JOURNAL_STREAM)$/,
  /^(NODE_CHANNEL_.*|NODE_UNIQUE_ID)$/,
];

export function withoutOwnTerminal(environment: Environment): Environment {
  return Object.fromEntries(
    Object.entries(environment).filter(([name]) => !names.some((pattern) => pattern.test(name))),
  );
}
