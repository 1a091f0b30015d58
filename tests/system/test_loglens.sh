#!/usr/bin/env bash
# Loglens: the example pipeline gives exactly the table that zcat | tr | sort | uniq -c gives.
#
# Compares the whole table, byte for byte, on files made to be nasty and on the machine's own
# documentation, and checks what loglens says and returns when something is wrong.
# Reads GMK_BUILD (folder of the examples); prints TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
loglens=$(realpath "${GMK_BUILD:-build}")/examples/loglens
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
export LC_ALL=C

number=0
failed=0
# expect PROMISE COMMAND...: one test; the command must succeed.
expect() {
    local promise=$1 verdict=ok
    shift
    number=$((number + 1))
    "$@" >"$work/output" 2>&1 || verdict="not ok" failed=1
    echo "$verdict $number - $promise"
    [[ $verdict == ok ]] || head -c 4000 "$work/output" | sed 's/^/#   /'
}

# ---- The reference, and files to compare on -------------------------------------------

# table_of: the table of the bytes on standard input.
table_of() {
    tr -cs '[:alpha:]' '\n' | tr '[:upper:]' '[:lower:]' | grep . | sort | uniq -c | sort -rn
}

# same ARGUMENT...: loglens says exactly what the reference says, about files and folders.
same() {
    local status=0 argument
    for argument in "$@"; do
        find -H "$argument" -type f -print0 | sort -z
    done | xargs -0 -r zcat -f 2>/dev/null | table_of >"$work/wanted"
    timeout 100 "$loglens" --all ${workers:+--workers "$workers"} ${memory:+--memory "$memory"} "$@" \
        >"$work/got" 2>"$work/said" || status=$?
    echo "exit status $status: $(cat "$work/said")"
    cmp "$work/wanted" "$work/got" || diff "$work/wanted" "$work/got" | head -20
    [[ $status == 0 && ! -s $work/said ]] && cmp -s "$work/wanted" "$work/got"
}

python3 - "$work" <<'END'
import gzip, os, random, sys

random.seed(7)
os.chdir(sys.argv[1])
BLOCK = 64 * 1024 - 256  # what loglens reads at a time


def put(name, data):
    os.makedirs(os.path.dirname(name), exist_ok=True)
    with open(name, "wb") as file:
        file.write(data)


def words(count, longest):
    return b"".join(bytes(random.choices(b"abcdefghijXYZ", k=random.randint(1, longest))) +
                    random.choice([b" ", b"\n", b", ", b"-", b"\r\n", b"'"]) for _ in range(count))


put("nasty/a-no-newline-at-the-end", b"the last word joins")
put("nasty/b-next-file", b"the first of the next file")
put("nasty/c-empty", b"")
put("nasty/d-empty.gz", gzip.compress(b""))
put("nasty/e-binary", random.randbytes(300000))
put("nasty/f-every-byte", bytes(range(256)) * 3)
put("nasty/g-no-letter", b"0123456789 \n\t" * 20000)
put("nasty/h-utf8.txt", "Größe naïve Ελλάδα don't [x]@{y}`z`\n".encode() * 100)
put("nasty/i-members.gz", gzip.compress(b"one two ") + gzip.compress(b"three t") + gzip.compress(b"wo"))
put("nasty/j-not-packed.gz", b"its name promises more than it holds\n")
put("nasty/k-packed.txt", gzip.compress(b"packed whatever the name says\n" * 5000))
put("nasty/l name with\nnewline and 'quotes' -", b"odd name\n")
put("nasty/--all", b"a file that looks like an option\n")
put("nasty/m-nul", b"a\0b\0\0cd\0" * 1000)
put("deep/" + "/".join(["n" * 200] * 15) + "/deep", b"far down\n")
for length in (1000, 65000, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 1000000):
    put(f"long/{length}", b"x " + b"Q" * length + b" y " + b"q" * length)
put("one-word/a", b"w" * 3000000)
for size in (1, 2, BLOCK - 2, BLOCK - 1, BLOCK, BLOCK + 1, BLOCK + 2, 2 * BLOCK - 1, 2 * BLOCK, 2 * BLOCK + 1):
    put(f"border/letters-{size}", b"z" * size)
    put(f"border/gap-at-{size}", b"ab" * (size // 2) + b" " + b"cd" * 20)
    put(f"border/ends-{size}", words(size, 9)[:size])
put("words/short", words(200000, 3))
put("words/different", words(300000, 12))
put("words/packed.gz", gzip.compress(words(100000, 8)))
put("words/more", b" ".join(b"%c%c%c%c%c" % tuple(97 + (i // 26 ** k) % 26 for k in range(5))
                            for i in range(700000)))
for i in range(3000):
    put(f"many/{i % 50}/{i}", words(random.randint(0, 20), 6).rstrip())
whole = gzip.compress(words(50000, 7))
put("broken/cut.gz", whole[:len(whole) // 2])
put("broken/good", b"still counted\n")
put("checksum/bad.gz", whole[:-8] + bytes(4) + whole[-4:])
put("damaged/bad.gz", whole[:2000] + bytes(200) + whole[2200:])
put("header/bad.gz", whole[:5])
os.makedirs("links/folder", exist_ok=True)
put("links/folder/file", b"linked once\n")
os.symlink("..", "links/folder/up")
os.symlink("folder/file", "links/again")
os.symlink("nowhere", "links/dangling")
os.makedirs("nothing", exist_ok=True)
END

memory=""
for workers in 1 2 3 8; do
    expect "nasty files give the reference's table on $workers workers" same "$work/nasty"
done
workers=2
expect "a word may be longer than any block" same "$work/long"
expect "a single word of three million letters is one word" same "$work/one-word"
for file in "$work"/border/*; do
    expect "words at the border of a block: $(basename "$file")" same "$file"
done
expect "all borders in one stream" same "$work/border"
for workers in 1 2 64; do
    expect "a million different words are more than the tables hold ($workers workers)" same "$work/words"
done
for workers in 1 2 8; do
    memory=16
    expect "a million different words need no more than 16 MiB ($workers workers)" same "$work/words"
done
workers=64 memory=40
expect "sixty-four workers share 40 MiB" same "$work/words" "$work/words"
workers='' memory=''
expect "three thousand small files in fifty folders" same "$work/many"
deep() { "$loglens" --all "$work/deep" | cmp - <(echo far down | table_of); }
expect "a path of three thousand letters (zcat would refuse it)" deep
expect "several arguments are read in their order" same "$work/nasty/a-no-newline-at-the-end" \
    "$work/nasty/b-next-file" "$work/words/short"
expect "links below a folder are not followed" same "$work/links"
expect "a link that is an argument is followed" same "$work/links/folder/up/again"
expect "a folder without files gives an empty table" same "$work/nothing"
expect "an option's name is a file after --" eval 'cd "$work/nasty" && "$loglens" --all -- --all | grep -q "1 option"'

from_input() { # FILE
    zcat -f "$1" | table_of >"$work/wanted"
    "$loglens" --all - <"$1" | cmp - "$work/wanted"
}
expect "- reads standard input" from_input "$work/words/short"
expect "- unpacks standard input" from_input "$work/words/packed.gz"
from_pipe() { cat "$work/words/short" | "$loglens" --all - | cmp - <(table_of <"$work/words/short"); }
expect "- reads a pipe" from_pipe

same_every_time() {
    local i
    "$loglens" --all "$work/words" >"$work/wanted" || return 1
    for i in 1 2 3 4 5 6 7 8 9 10; do
        "$loglens" --all --workers $((i % 5 + 1)) "$work/words" | cmp - "$work/wanted" || return 1
    done
}
expect "ten more runs give the same table" same_every_time

# The machine's own documentation; where that is very much, a part of it.
real=()
if [[ $(du -sm /usr/share/doc /usr/share/dict 2>/dev/null | awk '{ n += $1 } END { print n + 0 }') -gt 400 ]]; then
    real=(/usr/share/doc/[a-f]* /usr/share/dict)
fi
same_real() {
    local folders=("${real[@]}") status=0
    [[ ${#real[@]} -gt 0 ]] || folders=(/usr/share/doc /usr/share/dict)
    for folder in "${folders[@]}"; do
        [[ ! -e $folder ]] || find -H "$folder" -type f -print0 | sort -z
    done | xargs -0 -r zcat -f 2>/dev/null | table_of >"$work/wanted"
    timeout 100 "$loglens" --all "${real[@]}" >"$work/got" || status=$?
    echo "exit status $status"
    cmp "$work/wanted" "$work/got" && [[ -s $work/got && $status -le 1 ]]
}
expect "the documentation and dictionary of this machine give the reference's table" same_real

# ---- What it says ------------------------------------------------------------------------

summary() {
    "$loglens" --top 3 "$work/words" >"$work/got" || return 1
    cat "$work/got"
    find "$work/words" -type f -print0 | sort -z | xargs -0 zcat -f >"$work/plain"
    table_of <"$work/plain" >"$work/wanted"
    local value
    for value in "files 4" "bytes $(wc -c <"$work/plain")" "lines $(wc -l <"$work/plain")" \
        "words $(awk '{ n += $1 } END { print n }' "$work/wanted")" \
        "different words $(wc -l <"$work/wanted")"; do
        tr -d , <"$work/got" | tr -s ' ' | grep -qx "$value" || { echo "no '$value'"; return 1; }
    done
    grep -qE '^speed .* lines/s, .* MB/s$' "$work/got" &&
        diff <(tail -3 "$work/got") <(head -3 "$work/wanted")
}
expect "the report has the totals of wc and the first words of the table" summary

trace() {
    "$loglens" --top 0 --trace "$work/out.fxt" "$work/many" || return 1
    [[ $(head -c 8 "$work/out.fxt" | od -An -tx1 | tr -d ' \n') == 1000044678541600 ]] || return 1
    local name
    for name in loglens.bytes loglens.text loglens.counts loglens.flush loglens.words; do
        grep -qa "$name" "$work/out.fxt" || { echo "no $name in the trace"; return 1; }
    done
}
expect "--trace writes an FXT file that names what was handled" trace

metrics() {
    "$loglens" --top 0 --metrics="$work/metrics" "$work/words" || return 1
    "$loglens" --top 0 --metrics "$work/words" 2>"$work/metrics2" || return 1
    cat "$work/metrics"
    grep -q '^# TYPE ggmk_' "$work/metrics" && grep -q '^# TYPE ggmk_' "$work/metrics2" &&
        grep -qE 'loglens_words_total(\{[^}]*\})? [1-9][0-9]{5}' "$work/metrics"
}
expect "--metrics writes the engine's and the modules' counters" metrics

quiet() { [[ -z $("$loglens" --all "$work/words" 2>&1 >"$work/got") ]]; }
expect "no progress bar where standard error is no terminal" quiet
bar() {
    script -qec "stty cols 80; '$loglens' --top 0 '$work/words' '$work/words' '$work/words'" \
        "$work/typescript" >"$work/got" </dev/null
    grep -qa '\[#*\.*\]' "$work/typescript"
}
if command -v script >/dev/null; then
    expect "a progress bar where standard error is a terminal" bar
fi

# ---- What can be wrong ---------------------------------------------------------------------

# says STATUS PATTERN ARGUMENT...: loglens ends with this status and this on standard error.
says() {
    local wanted=$1 pattern=$2 status=0
    shift 2
    timeout 100 "$loglens" "$@" >"$work/got" 2>"$work/said" </dev/null || status=$?
    echo "exit status $status, wanted $wanted; it said: $(cat "$work/said")"
    [[ $status == "$wanted" ]] && grep -q -- "$pattern" "$work/said"
}

truncated() {
    says 1 "broken/cut.gz: the compressed data ends too early" --all "$work/broken" &&
        { zcat "$work/broken/cut.gz" 2>/dev/null; cat "$work/broken/good"; } | table_of |
        cmp - "$work/got"
}
expect "a truncated gz is named, what came before it and after it is counted" truncated
expect "a gz with a wrong checksum is named" says 1 "checksum/bad.gz: .*damaged" "$work/checksum"
expect "a damaged gz is named" says 1 "damaged/bad.gz: .*damaged" "$work/damaged"
expect "a gz that is less than a header is named" says 1 "header/bad.gz: " "$work/header"
missing() {
    says 1 "/no/such/file: No such file" --all /no/such/file "$work/broken/good" &&
        [[ $(cat "$work/got") == *"1 counted"* ]]
}
expect "a missing file is named, the rest is counted" missing
expect "a file that opens but cannot be read is named" \
    says 1 "/proc/self/mem: Input/output error" /proc/self/mem
expect "a failed file is counted in the report" \
    eval 'says 1 "1 of the inputs" "$work/broken" && grep -q "^files failed *1$" "$work/got"'

# The superuser may read everything, so a shut file needs another user.
mkdir -p "$work/shut/folder"
echo secret >"$work/shut/file"
echo secret >"$work/shut/folder/file"
echo open >"$work/shut/open"
chmod 000 "$work/shut/file" "$work/shut/folder"
shut() {
    local as=() status=0
    [[ $(id -u) != 0 ]] || as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    cp "$loglens" "$work/copy"
    "${as[@]}" "$work/copy" --all "$work/shut" >"$work/got" 2>"$work/said" || status=$?
    cat "$work/said"
    [[ $status == 1 && $(cat "$work/got") == "      1 open" ]] &&
        grep -q "shut/file: Permission denied" "$work/said" &&
        grep -q "shut/folder: Permission denied" "$work/said"
}
if [[ $(id -u) != 0 ]] || command -v setpriv >/dev/null; then
    expect "a file and a folder that may not be read are named" shut
fi
chmod 700 "$work/shut/folder"

expect "an unknown option ends with 2" says 2 "unknown option --frobnicate" --frobnicate
expect "an unknown letter ends with 2" says 2 "unknown option -x" -x
expect "an option without its value ends with 2" says 2 "wants a value" --top
expect "an option with a value it does not take ends with 2" says 2 "takes no value" --all=3
for count in 0 65 -1 many 1.5 "" 99999999999999999999; do
    expect "--workers '$count' ends with 2" says 2 "from 1 to 64" --workers "$count"
done
expect "--memory 1 ends with 2" says 2 "from 16 to 65536" --memory 1
expect "more workers than memory end with 3" says 3 "needs more --memory" --workers 64 --memory 16
expect "--top words ends with 2" says 2 "wants a number" --top words
expect "a trace that cannot be written ends with 1" \
    says 1 "/no/such/trace: No such file" --trace /no/such/trace "$work/broken/good"
expect "--help explains and ends with 0" eval '"$loglens" --help | grep -q "^Usage: loglens"'
disk_full() {
    local status=0
    "$loglens" --all "$work/words" >/dev/full 2>"$work/said" || status=$?
    cat "$work/said"
    [[ $status == 1 ]] && grep -q "standard output: No space left" "$work/said"
}
expect "a full disk under the output ends with 1" disk_full

exit $failed
