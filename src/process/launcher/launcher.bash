# shellcheck shell=bash disable=SC1090,SC2016,SC2094
# (Files are sourced whose paths are known when it runs; $PPID is for the inner shell; `process` is opened for both.)
#
# The program of the fork server. On `sc_fork_launcher <number> <path>` it forks a launcher, which reads its lines from
# that FIFO; on `sc_task <number> <program> <argument>…` it runs a task and reports `task <number> <status> <what it
# wrote to stderr>`.
#
# A launcher forks the process of its next job ahead, so that no job waits for a fork. Each job has two lines. The
# forked process reads the first and becomes the job; the launcher waits for it to end and reads the second. The end of
# the FIFO ends both.
#
# Each job executes as few steps as possible: after a fork each step of bash copies pages, and costs three times what it
# costs before.
#
# Launchers report through one pipe to the server: `ready <number> <pid>`, then for each job `claimed <id>`, or `exit
# <id> <code> <pid>` and, where processes of the group are left, `left`. Their files in a job's directory:
# - `process`: the job's own process appends its line of `/proc/self/stat` (elsewhere pid and start time by `ps`) before
#   it becomes the job, and reads the first line back: only the process on that line continues, so no job ever runs
#   twice. A line `failed`: the program could not be started.
# - `exit`: the code and a newline; without the newline it is not complete. Appended, as ext4 takes a file that is
#   truncated and written for one that is being replaced, and flushes it at once (ext4(5), auto_da_alloc).
#
# On `sc_fork_holder <path> <directory>` it forks the stdin holder, which keeps the stdin of jobs open for writing, with
# or without a server: a job would read the end of its input once no process had it open. The stdin holder reads from
# the FIFO at that path: `hold <number> <path in directory>` opens a FIFO as that file descriptor, `drop <number>`
# closes it, and `ack <batch>` is answered with `kept <name> <batch>` and the numbers that could not be held. The stdin
# holder ends when neither the server nor any launcher has its FIFO open. `sc_join <path>` lets launchers forked later
# have it open.
#
# Where a job's output goes through pipes, its process starts `cat` for each before it becomes the job, and writes the
# pids to the file `copiers`. The copiers belong to no group of the job and ignore signals: they end when the last
# writer has closed the pipe, so a background child neither loses output nor gets SIGPIPE. The launcher reports the exit
# once they have written what the job's process left in the pipes: a copier that sleeps has read all there is (proc(5),
# state S), and one that has copied 2 MiB since then is past it, as no pipe holds more than 1 MiB (pipe(7)). The
# launcher waits for 10 s at most.
#
# A launcher gets no signal that it traps: where one interrupts a wait that is about to return, bash loses the exit
# code.
#
# File descriptors: 0 is the FIFO of a launcher, see `launched.ts`; 3 opens both ends of a FIFO, so that no open waits,
# not even for a server or a stdin holder that was killed meanwhile; 6 is the same FIFO for the process forked ahead,
# whose 0 bash makes /dev/null; 8 is the FIFO of the stdin holder; a starting job reads `process` by 7 and
# `/proc/self/stat` by 9. Variables start with `sc_`: assigning an exported variable of the user would change it in the
# jobs.
declare +x LC_ALL
sc_obeyed=() sc_own=()
sc_jobs=$1
sc_stat=/dev/null; [ -r /proc/self/stat ] && sc_stat=/proc/self/stat
sc_launch() {
  [ -p "$2" ] || exit # the server has closed: opened for both, it would become a file
  exec 3<>"$2" <"$2" 6<&0 3>&- || exit
  sc_l=${BASHPID:-$(exec /bin/sh -c 'echo $PPID')}
  echo "ready $1 $sc_l"
  while :; do
    set -m
    sc_ahead &
    set +m # else the wait would end when the job is stopped
    sc_p=$!
    wait "$sc_p"
    sc_c=$?
    sc_unread=
    while IFS= read -r sc_line || exit; do
      case $sc_line in
        "sc_run "*) break ;;
        # The process ahead was killed before it read this. An incomplete line is no use.
        "sc_job "* | "sc_source "*) sc_unread=$sc_line ;;
      esac
    done
    if [ "$sc_unread" ]; then
      set -m
      eval "$sc_unread" &
      set +m
      sc_p=$!
      wait "$sc_p"
      sc_c=$?
    fi
    eval "$sc_line"
  done
}
sc_ahead() {
  IFS= read -r -u 6 sc_line || exit 125 # there is no server any more
  eval "$sc_line"
}
sc_place() {
  sc_id=$1
  case $2 in .) sc_d=$sc_jobs/$1 ;; *) sc_d=$2 ;; esac
}
sc_run() {
  sc_place "$1" "$2"
  [ "$3" != pipe ] || sc_drain
  case $sc_c in
    125) [ -s "$sc_d/process" ] || return ;; # it never had the job
    126) if sc_claimed; then echo "claimed $sc_id"; return; fi ;;
  esac
  sc_plain "$sc_d/exit" && sc_same && echo "$sc_c" >>"$sc_d/exit" # else the server alone is told
  kill -0 -- "-$sc_p" && sc_left=left || sc_left=
  echo "exit $sc_id $sc_c $sc_p $sc_left"
}
sc_drain() {
  sc_plain "$sc_d/copiers" || return
  for sc_w in $(command -p head -c 64 "$sc_d/copiers"); do # the job may have written there, too
    case $sc_w in *[!0-9]*) continue ;; esac
    read -r sc_x sc_o <"/proc/$sc_w/fdinfo/1" || continue
    sc_t=0
    while [ "$sc_t" -lt 1000 ] && IFS= read -r sc_s <"/proc/$sc_w/stat" && read -r sc_x sc_v <"/proc/$sc_w/fdinfo/1"; do
      case $sc_s in *") S "*) break ;; esac
      [ "$((sc_v - sc_o))" -lt 2097152 ] || break
      command -p sleep 0.01
      sc_t=$((sc_t + 1))
    done
  done
} 2>/dev/null
sc_claimed() {
  sc_plain "$sc_d/process" || return
  sc_first=$(command -p head -c 256 "$sc_d/process") # the job may have made it endless
  sc_first=${sc_first%%[[:space:]]*}
  # A text that names no process does not say that one has the job.
  case $sc_first in nobody) return ;; *[!0-9]*) return 1 ;; esac
  [ "${sc_first:-$sc_p}" != "$sc_p" ]
} 2>/dev/null
# Whether the directory of a shell is still the same: a new session of its key has one of that name.
sc_same() {
  case $sc_d in */run-*) ;; *) return ;; esac
  sc_plain "$sc_d/process" || return 0 # a job has replaced it
  [ -s "$sc_d/process" ] || [ "$sc_c" = 126 ] || return
  sc_first=$(command -p head -c 256 "$sc_d/process")
  sc_first=${sc_first%%[[:space:]]*}
  case $sc_first in *[!0-9]*) return ;; esac
  [ "${sc_first:-$sc_p}" = "$sc_p" ]
} 2>/dev/null
# The job may have put a FIFO there, on which an open would wait, a link or a device, or a link in the place of the
# directory or, if that is of a shell, of its session's directory.
sc_plain() {
  [ ! -h "$1" ] && [ ! -h "${1%/*}" ] && { [ -f "$1" ] || [ ! -e "$1" ]; } && case $1 in
    */run-*/*) [ ! -h "${1%/*/*}" ] ;;
  esac
}
sc_source() { sc_plain "$1" && . "$1"; exit 126; }
# Another job may have replaced the files of one that waited for its turn.
sc_untouched() {
  sc_plain "$sc_d/stderr" || return
  sc_plain "$sc_d/stdout" && sc_plain "$sc_d/process" && case $1 in
    *+pipe) sc_plain "$sc_d/copiers" ;;
  esac && case $1 in
    file*) sc_plain "$sc_d/stdin" ;;
    fifo*) [ -p "$sc_d/stdin" ] && [ ! -h "$sc_d/stdin" ] ;;
  esac && return
  # Another launcher may have run the job meanwhile: at its end stdin is removed.
  sc_plain "$sc_d/process" && [ -s "$sc_d/process" ] && return 1
  echo "sidecar: something has replaced the files of the job before it began" >>"$sc_d/stderr"
  return 1
}
sc_job() {
  sc_place "$1" "$2"
  # At one go what sc_untouched finds out.
  [[ ! -h $sc_d && ! -h ${sc_d%/run-*} && -f $sc_d/stdout && ! -h $sc_d/stdout && -f $sc_d/stderr && \
    ! -h $sc_d/stderr && -f $sc_d/process && ! -h $sc_d/process && ! -s $sc_d/process && \
    ( $3 == null || ( $3 == fifo && -p $sc_d/stdin && ! -h $sc_d/stdin ) ) ]] ||
    { sc_untouched "$3" && [ ! -s "$sc_d/process" ]; } || exit 126
  case $3 in
    fifo*) exec >>"$sc_d/process" 7<"$sc_d/process" 9<"$sc_stat" 3<>"$sc_d/stdin" <"$sc_d/stdin" 3>&- || exit 126 ;;
    file*) exec >>"$sc_d/process" 7<"$sc_d/process" 9<"$sc_stat" <"$sc_d/stdin" || exit 126 ;;
    *) exec >>"$sc_d/process" 7<"$sc_d/process" 9<"$sc_stat" || exit 126 ;;
  esac
  if IFS= read -r -u 9 sc_s; then
    case $sc_s in *") "?" $sc_l "*) ;; *) exit 126 ;; esac # its launcher has gone
  else sc_s=$(exec /bin/sh -c 'echo $PPID'); sc_s="$sc_s $(LC_ALL=C command -p ps -o lstart= -p "$sc_s")"; fi
  echo "$sc_s" || exit 126
  IFS= read -r -u 7 sc_first
  [[ $sc_first == "$sc_s" ]] || exit 126
  cd -- "$4" || sc_lost "$4"
  case $3 in
    *+pipe) exec 6<&- 7<&- 8>&- 9<&-; sc_pipes || sc_fail 126 "its output cannot be piped" ;;
    *) exec >>"$sc_d/stdout" 2>>"$sc_d/stderr" 6<&- 7<&- 8>&- 9<&- || sc_fail 126 ;;
  esac
  unset OLDPWD
  export SIDECAR_JOB_ID=$sc_id
  sc_n=$5 sc_m=$6 sc_k=$7; shift 7
  [ "$sc_n" = 0 ] || { export "${@:1:sc_n}"; shift "$sc_n"; }
  [[ $sc_m$sc_k${sc_obeyed[*]}${sc_own[*]} == 00 ]] || sc_more "$@"
  sc_check "$1"
  exec -- "$@"
}
# The job has variables that bash obeys, or cannot have.
sc_more() {
  sc_o=() sc_e=()
  [ "$sc_m" = shell ] || { sc_o=("${sc_obeyed[@]}" "${@:1:sc_m}") sc_e=("${sc_own[@]}"); shift "$sc_m"; }
  sc_e=("${sc_e[@]}" "${@:1:sc_k}"); shift "$sc_k"
  sc_check "$1"
  if [ ${#sc_e[@]} != 0 ]; then
    case $1 in *=*) set -- /bin/sh -c 'exec "$0" "$@"' "$@" ;; esac
    set -- /usr/bin/env -- "${sc_e[@]}" "$@"
  fi
  [ ${#sc_o[@]} = 0 ] || export "${sc_o[@]}" 2>/dev/null # the last: bash obeys them from here on
  exec -- "$@"
}
sc_check() {
  case $1 in
    */*) [[ -x $1 && ! -d $1 ]] || sc_refuse "$1" ;;
    *) type -P -- "$1" >/dev/null || sc_fail 127 "$1: not found" ;;
  esac
}
sc_pipes() { sc_pipe stdout && exec >/dev/fd/7 7>&- && sc_pipe stderr && exec 2>/dev/fd/7 7>&-; }
sc_pipe() {
  exec 7<> <(:) || return
  wait "$!" 2>/dev/null
  (
    set -m
    {
      trap '' HUP INT QUIT TERM PIPE USR1 USR2
      PATH=/usr/local/bin:/usr/bin:/bin:$PATH exec cat </dev/fd/7 7>&- >>"$sc_d/$1"
    } &
    echo "$!" >>"$sc_d/copiers"
  )
}
sc_refuse() {
  [ -e "$1" ] || sc_fail 127 "$1: not found"
  sc_fail 126 "$1: not an executable file"
}
sc_lost() {
  exec 2>>"$sc_d/stderr"
  [ -d "$1" ] || sc_fail 126 "the directory $1 is not there"
  sc_fail 126 "the directory $1 cannot be entered"
}
sc_fail() {
  [ $# = 1 ] || echo "sidecar: $2" >&2
  echo failed >>"$sc_d/process"
  exit "$1"
}
sc_fork_launcher() {
  set -m
  sc_launch "$@" &
  set +m
  disown
}
sc_fork_holder() {
  set -m
  sc_keep "$@" &
  set +m
  disown
  sc_join "$1"
}
sc_join() { [ -p "$1" ] && exec 3<>"$1" 8>"$1" 3>&-; }
sc_keep() {
  [ -p "$1" ] || exit
  trap '' HUP PIPE # no reader of an answer is left; the parent ended while this was stopped
  exec 3<>"$1" <"$1" 3>&- 8>&- || exit
  ulimit -S -n hard
  sc_name=${1##*/} sc_bad=
  echo "keeper $sc_name ${BASHPID:-$(exec /bin/sh -c 'echo $PPID')}"
  while IFS=' ' read -r sc_w sc_n sc_x; do
    case $sc_w in
      hold) [ ! -h "$2/${sc_x%/*}" ] && [ ! -h "$2/$sc_x" ] && [ -p "$2/$sc_x" ] &&
        eval "exec 3<>\"\$2/\$sc_x\" $sc_n>\"\$2/\$sc_x\" 3>&-" || sc_bad="$sc_bad $sc_n" ;;
      drop) eval "exec $sc_n>&-" ;;
      ack) echo "kept $sc_name $sc_n$sc_bad"; sc_bad= ;;
    esac
  done
}
sc_task() {
  sc_task_done "$@" &
  disown
}
sc_task_done() {
  exec 8>&-
  sc_number=$1
  shift
  export LC_ALL=C PATH=/usr/local/bin:/usr/bin:/bin:$PATH
  sc_error=$(exec "$@" 2>&1 >/dev/null)
  sc_c=$?
  echo "task $sc_number $sc_c ${sc_error//$'\n'/ }"
}
while IFS= read -r sc_line; do eval "$sc_line"; done
