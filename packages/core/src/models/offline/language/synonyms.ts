/**
 * Words that documentation uses for the same thing. Each group is a line; a word may stand in several. Kept to
 * technical prose on purpose: a general thesaurus brings more false friends than finds.
 */
import { stemOf } from "./words.ts";

const groups = `
license copyright copyrighted
install installation setup installer
default defaults fallback initially implicit assume omitted
require need prerequisite depend requirement dependency necessary mandatory
maximum limit cap upper most exceed ceiling
minimum least lowest lower above higher smallest
maximum most highest largest
delete remove rm erase drop unlink clear purge discard
create make generate new construct build produce
fast quick speed performance faster throughput benchmark efficient
slow latency overhead delay
support compatible compatibility work handle
configuration option setting configure preference customize setup
parameter argument option flag switch
directory folder
error exception failure fail throw warning crash
disable off suppress deactivate prevent turn
enable activate turn on
change modify edit alter update replace override overwrite
release version published
author creator maintainer written developer wrote maintain
start launch run begin invoke execute boot
stop terminate kill exit abort cancel halt quit shutdown end
size bytes length big large
example sample demo
fix bug resolve repair patch
deprecate obsolete removed superseded legacy
email mail contact address report
choose select pick prefer
ignore skip exclude omit
show print display output list
return give yield result
blank empty missing absent
memory ram heap
concurrent parallel simultaneous concurrency parallelism
sort order ordering
compress gzip compression
convert transform translate conversion
supported compatible
suit suitable designed ideal recommended fit
embed embedded embeddable in-process
static standalone single self-contained dependency-free zero-dependency
second sec s
millisecond ms msec
minutes minute
hour h
percent %
kilobyte kb
megabyte mb mib
gigabyte gb gib
recommend prefer suggest advise should
forbidden prohibit disallow not cannot
allow permit enable can
check verify validate test
difference differ differs versus vs compare comparison unlike
purpose goal aim motivation
reason because since therefore rationale
name called named known
command cli
request call query
connect connection
platform os operating system
linux unix
windows win32
macos osx mac darwin
node nodejs
npm yarn pnpm
file filename
path location
url uri link address
password passphrase credential secret
token key
user account
log logging logger
retry attempt
wait sleep timeout delay
timeout deadline expire expiry ttl
refresh renew reload
store save persist write
load read import
parse read decode
serialize stringify encode
character char letter
string text
array list
function method callback
property attribute field
boolean bool
integer int number
count number total
multiple several many
equal same identical
unique distinct
nested recursive recursively
ascend ascending
escape quote quoting
whitespace space blank
newline line-feed
case-insensitive ignorecase
unsafe dangerous insecure risk
security vulnerability cve
safe secure
quickly fast
encrypt encryption cipher
hash digest checksum
algorithm method
tls ssl https
proxy gateway
header headers
permission privilege root sudo
background daemon
interactive prompt
color colour ansi
stdin standard-input
stdout standard-output
sponsor fund donate
contribute contribution contributor
website homepage site
history changelog change
breaking incompatible
introduce introduced added add since new
release news changelog history
available exist provide offer include
merge combine join
split divide separate
accept take allow
expect require
specify set pass give define provide
rename move
copy duplicate clone
undo revert rollback
inherit extend
interval period frequency every
reload hot-reload watch
language translation locale
exit quit status code
signal sigterm sighup sigint
thread worker
disk storage
backup dump
restore recover recovery
precision accuracy
january jan 01
february feb 02
march mar 03
april apr 04
may 05
june jun 06
july jul 07
august aug 08
september sep sept 09
october oct 10
november nov 11
december dec 12
near nearest neighbor
vector embedding`;

/** How much of a word its synonym is worth. */
export const synonymWeight = 0.55;

const table = new Map<string, Set<string>>();
for (const group of groups.trim().split("\n")) {
  const stems = [...new Set(group.split(" ").map((word) => stemOf(word.replaceAll("-", ""))))];
  for (const stem of stems) {
    const others = table.get(stem) ?? new Set<string>();
    for (const other of stems) if (other !== stem) others.add(other);
    table.set(stem, others);
  }
}

/** Names of what the first word means; not the other way round, since Apache is a server too. */
const instances = new Map(
  ["license gpl lgpl agpl mit apache bsd mpl"].map((group) => {
    const [stem = "", ...names] = group.split(" ").map(stemOf);
    for (const name of names) table.get(stem)?.add(name);
    return [stem, new Set(names)] as const;
  }),
);

const none: ReadonlySet<string> = new Set();

/** Stems that often stand for the same thing as this stem. */
export function synonymsOf(stem: string): ReadonlySet<string> {
  return table.get(stem) ?? none;
}

/** Stems that name one of what this stem means: GPL is a licence. They are synonyms too. */
export function instancesOf(stem: string): ReadonlySet<string> {
  return instances.get(stem) ?? none;
}
