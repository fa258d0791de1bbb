#!/usr/bin/env bash
# Shows that the tests find mistakes: puts each mistake of src/tests/mutants into a copy of the source, one at a time,
# and runs the tests that must fail then. Takes a build for each.
#
#   scripts/mutants.sh             all of them
#   scripts/mutants.sh NAME...     only these
#   scripts/mutants.sh --list      their names
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/records.sh"
cd "$root"

# The seeds within which the simulator must find a mistake, unless its table or the simulator's variable says others,
# and how long a test may take: one that goes on for ever has found nothing.
SEEDS=0..200
TEST_SECONDS_MAX=900

target=${CARGO_TARGET_DIR:-target}
[ "${target#/}" != "$target" ] || target=$root/$target
# Always the same place: what has been built there is built again faster.
tree=$target/mutants/tree

names=()
declare -A tests=() find=() seeds=() changes=()

# Reads the tables. The changes of a mutant are its lines from the first file on.
read_tables() {
    local line name=
    while IFS= read -r line; do
        case $line in
            '' | '# '*) ;;
            'mutant '*)
                name=${line#mutant }
                names+=("$name")
                tests[$name]='' find[$name]='' seeds[$name]=$SEEDS changes[$name]=''
                ;;
            'why '*) ;;
            'test '*) tests[$name]+="${line#test } " ;;
            'find '*) find[$name]=${line#find } ;;
            'seeds '*) seeds[$name]=${line#seeds } ;;
            'in '* | -* | +*) changes[$name]+=$line$'\n' ;;
            *) die "not understood: $line" ;;
        esac
    done < <(cat src/tests/mutants/*.mutants)
}

# copy_tree: the source as it stands here, changes that are not committed included. Its files are new, so cargo looks at
# all of them.
copy_tree() {
    rm -rf "$tree"
    mkdir -p "$tree"
    git ls-files -z --cached --others --exclude-standard -- Cargo.toml Cargo.lock src bench .cargo |
        while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
        xargs -0 cp --parents -t "$tree"
    leave_out_other_tests
}

# Of `src/tests` the copy has only the modules that the mutants need, or that others use, because each build waits for
# the rest too.
leave_out_other_tests() {
    local module needed
    needed=" $({
        grep -rhoE 'crate::tests::[a-z_]+' "$tree/src" | sed 's/.*:://'
        printf '%s ' "${tests[@]}" | grep -oE 'tests::[a-z_]+' | sed 's/.*:://'
    } | sort -u | tr '\n' ' ')"
    for module in $(sed -nE 's/^(pub\(crate\) )?mod ([a-z_]+);$/\2/p' "$tree/src/tests/mod.rs"); do
        [[ $needed == *" $module "* ]] || sed -i "/^mod $module;\$/d" "$tree/src/tests/mod.rs"
    done
}

# Dependencies that have been built for the ordinary tests are not built again. What was built of the source here is
# left out: it is not that of the copy.
seed_target() {
    [ ! -d "$target/mutants/debug" ] && [ -d "$target/debug/deps" ] || return 0
    mkdir -p "$target/mutants/debug"
    tar -C "$target/debug" --exclude '*proxyherd*' -cf - deps build .fingerprint |
        tar -C "$target/mutants/debug" -xf - ||
        rm -rf "$target/mutants/debug"
}

# apply NAME: changes the copy; fails if a place is not there, or there twice. The changed files are then in `changed`.
apply() {
    changed=()
    local line file='' old='' new=''
    while IFS= read -r line; do
        case $line in
            'in '*)
                [ -z "$file" ] || replace "$file" "$old" "$new" || return 1
                file=${line#in } old='' new=''
                ;;
            -*) old+=${line#-}$'\n' ;;
            +*) new+=${line#+}$'\n' ;;
        esac
    done <<<"${changes[$1]%$'\n'}"
    replace "$file" "$old" "$new"
}

replace() {
    local text
    [ -n "$2" ] && [ -r "$tree/$1" ] || return 1
    # The dot keeps line feeds at the end.
    text=$'\n'$(cat "$tree/$1" && echo .)
    text=${text%.}
    local after=${text#*$'\n'"$2"}
    local again=$'\n'$after
    [ "$after" != "$text" ] && [ "${again#*$'\n'"$2"}" = "$again" ] || return 1
    text=${text%"$2$after"}$3$after
    printf '%s' "${text#$'\n'}" >"$tree/$1"
    changed+=("$1")
}

# Puts the files back that `apply` has changed.
restore() {
    local file
    for file in "${changed[@]}"; do cp "$root/$file" "$tree/$file"; done
}

# build TEST: builds the tests of which this is one; the program is then in `program`.
build() {
    local features=()
    [[ $1 != *::interleavings::* ]] || features=(--features interleavings)
    program=$(
        cd "$tree" && CARGO_TARGET_DIR=$target/mutants cargo test --package proxyherd --lib --locked --no-run \
            --message-format json-render-diagnostics "${features[@]}" 2>"$target/mutants/build.log" |
            sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1
    ) && [ -n "$program" ]
}

# run_test TEST KINDS SEEDS: runs it; 0 if it passes, 1 if it fails, 2 if neither. Where kinds of divergence are given,
# only those count.
run_test() {
    local code=0
    (
        cd "$tree" && PROXYHERD_SIM_SEEDS=${PROXYHERD_SIM_SEEDS:-$3} PROXYHERD_SIM_FIND=$2 CARGO_MANIFEST_DIR=$tree \
            timeout "$TEST_SECONDS_MAX" "$program" --exact "$1"
    ) >"$target/mutants/test.log" 2>&1 || code=$?
    grep -q '^running 1 test' "$target/mutants/test.log" || return 2
    # A simulator that breaks down has found nothing either.
    [ -z "$2" ] || [ "$code" -eq 0 ] || grep -q '^seed [0-9]*: ' "$target/mutants/test.log" || return 2
    case $code in
        0) return 0 ;;
        # A stack that overflows, or an abort, is a failure too.
        101 | 134) return 1 ;;
        *) return 2 ;;
    esac
}

# Every test must pass without a mistake in the source, or it would find them all.
check_tests() {
    local name test
    declare -A seen=()
    for name in "$@"; do
        for test in ${tests[$name]}; do
            [ -z "${seen[$test]:-}" ] || continue
            seen[$test]=1
            build "$test" || die "the tests do not build: see $target/mutants/build.log"
            run_test "$test" "" "$SEEDS" || die "$test fails without a mutant: see $target/mutants/test.log"
        done
    done
}

# try NAME: what became of it, in `outcome`.
try() {
    local test code
    apply "$1" || { outcome="does not apply" && return; }
    outcome=found
    for test in ${tests[$1]}; do
        build "$test" || { outcome="does not build" && return; }
        code=0
        run_test "$test" "${find[$1]}" "${seeds[$1]}" || code=$?
        case $code in
            0) outcome="missed by $test" && return ;;
            1) ;;
            *) outcome="neither found nor missed by $test, see $target/mutants/test.log" && return ;;
        esac
    done
}

need cargo "install Rust from https://rustup.rs"
need git "install git"
need timeout "it comes with coreutils"
need flock "it comes with util-linux"
read_tables
if [ "${1:-}" = --list ]; then
    printf '%s\n' "${names[@]}"
    exit
fi
[ $# -gt 0 ] || set -- "${names[@]}"
for name in "$@"; do
    [ -n "${tests[$name]:-}" ] || die "there is no mutant $name: see scripts/mutants.sh --list"
done

mkdir -p "$target/mutants"
exec 9>"$target/mutants/lock"
flock -n 9 || die "it is running already"
copy_tree
seed_target
check_tests "$@"
found=0
for name in "$@"; do
    began=$SECONDS
    try "$name"
    restore
    [ "$outcome" != found ] || found=$((found + 1))
    printf '%-50s %s (%d s)\n' "$name" "$outcome" "$((SECONDS - began))"
done
echo "mutants.sh: $found of $# found, in $SECONDS s"
[ "$found" -eq $# ]
