/**
 * The 2,800 words that most often stand in technical documentation, the most common first: counted over 2,599 manual
 * pages, READMEs and changelogs by the number of documents that hold them; names of products taken out. It tells a word
 * that any documentation may hold from one that a question is about.
 */
import { stemOf } from "./words.ts";

const list = `
name description not options file default set generated org only https synopsis list text author specified source command example
following version note formatting output value makes standard user support bugs information starts html system define process more
string new line available written code hyphenation include number provided disable change manual type current run time contains
help content mode create configuration single end justification given space always read automatically allows required instead
entries without argument print title case left copyright section first license need details after archive man long main error
directory data page before specific existing parameters display exit function different dev operation message www additional
program like except copy marked avoid warning implementation language based return either headers possible add ignored begin
remove order report non index found work take off separated enabled library depending check two show execute both turn above
adjust group local portability compatibility modify passed open distribution means otherwise multiple date described margin result
variable com control simple character path called rights environment access later performance most below size full known installed
part escape net application input reference stuff usage limit build match tools project items package normally cause initial key
free complete behavior quotes register indicate zero select old well share level however utf script update kernel nothing empty
literal extension object flag cannot identifier info call point usually second form prefix english apply effect bytes software
fail stderr undefined binary test unless last table present valid status issue bit original max link global handle location
special feature determine want root utility terminal replaced nroff place obtain accept unicode similar field reserved service
override course internal transform compiled debug block target filename purpose directly stored send through device vertical
request itself verbatim technical common corresponding considered log security fashion particular attempt interface once break
consists syntax force subsections shell several better yourself never assume search equivalent troff large memory meaningful
manager short rather associated null usr related back maintained module mistakes none encoding alternative further small public
state necessary respectively load integer expected various server important address pod expression structure preamble verbose
regular next restrict method api keep invoked host thus release book higher least combined symbolic now action algorithm try
recommended database stylesheets width active docbook success drop connection definition range permitted omitted machine true
explicitly xsl ensure occur less switch rules previous map typically style problems appear permission terms remaining reasons
parse produce conditions affect extended properties context direct interpreted implied min continue three certain count supplied
sign earlier auto detect instance failure immediately init relative prevent able sequence comment notice fixed correct appropriate
save history received missing stop delete intended final identical unit translation choose network hash treated tree extra skip
deprecated ssl against become record entire position convert vsnapshot inc query blue false session foo event preferred pre
understood port again attributes compliance administrator suffix comma modification client buffer url class verify due assigned
column fast word double ascii precedence future close cache computed individual numeric foundation mechanism char represents few
tag resource sort introduced invalid leading warranty basic designed disk tab filter move put pattern together equal pair external
protocol view previously manpage backwards allocated sure summary custom reduce raw logic low happen dynamic instructions append
though random wait interactive gpl downloaded home var real absolute stream bin stack improve recognized amount compared
authentication safe suppress static bind inside conforming core sys account signal runtime socket lower private decimal regardless
boolean boot comes post subsequent parent remote array mount merge major around whole collection export fully unknown invocation
readable native suite sql domain signature privileges kind top response platforms int preserve ask dump clear posix components
digit multi suitable independent lock unique often expand side color alias insert temporary owner label thread alter
newline desired capabilities letter nor trigger reset whitespace step architecture greater resolved redistribute yes discussion
prior cpu namespace fitness creation variant emit along increase edit setup total password policy fetch bar member correctly
explicit properly retrieve restore enter proc colon granted quiet tries declared virtual compressed derived guarantee login rename
commit hexadecimal patch image speed filesystem aqt offset unsigned published attached timestamp sync care question similarly pid
slow split const stdout track pub optimization team communication uid prompt power statistics hard timeout statement primary
subject integrity ossl truncated potentially conversion conflicts recent enforce pipe although guide macros bad clean indent
period neither destination silently overridden txt construct console repeated elements people probably priority arbitrary hardware
sub descriptor exclude recursively dot evp hex calculated inherit iso negative keyword outside relevant branch child across
mailing duplicate unlike third visible legacy extract reached symlink ctx encryption hold cover online upon plus echo protected
spdx diagnostic repository minor latter rely loop enough latest mandatory pkey additionally pointer referenced overwrite among
dash convention finished progress easier sometimes metadata big rfc embedded tracker strict align situations incompatible constant
manipulate driver strip site sufficient forward daemon underlying everything octal behave self rest extent choice mostly scope
parallel exact hand digest successfully evaluated hierarchy trailing reverse minimal hence qualified master readme wish belongs
lost upper semantics encountered convenient decide interval cross tty blank human cqs delay json whenever decoding traditional
subdirectories prepared resolution partial family especially opt scheme profile four unused plain backslash wrap obsolete crash
fact hidden fips pathname confusing dec listen tmac storage abort rejected representation delimited monitor schema rst lot lack
scan slash throw contributing packets wrong quite stable gcc engine restart corruption octet tasks trace fork mask refuse slightly
stdin offers whatever practice passwd significant web primarily david lookup deal lang startup going upgrade discard unset
implicitly cat err easy production upstream proper themselves michael hostname suggested username queue capital reflect sample
layer involved modern fallback mso simplify anyway retain cipher newly experimental physical act easily overview discovered
advanced sense role mto measure interesting aware sec law job asciidoctor linkstyle complex template gid padding series little
token background frame area substitution writer day flush consumed serial subset counter round depth chain incremental exposed
void scheduling succeeds mit meta transition tcp shutdown cmd commonly trusted concatenation alphabets wrapper pam arch persistent
vendor partition superuser comparison emulation interrupt seed printable tar presence exclusive prepended helper writable
conjunction brackets historical linker arm clock bash established ownership idea clone fall model transaction parser efficient red
dsa async join iteration push kill cap rows introduction len svg implicit enclosed advantage essential nul sun carry rate shipped
abi trap raise swap handler particularly predefined honor nested libc certificate wiki tls incorrect caller charsets glibc layout
twice achieved defs think segments screen miscellaneous factors damages transfer average fatal processor exp aliases vary front
struct gmail dns redirect incomplete regarding concept world soft ability blob procedure examine seem visual universal middle
enhanced notation backup head unindent constraints sum verification floating distinguish wildcard exceed almost evppkey supposed
mixed pretty programmers sensitive migration alpha former revert stat analyze boundary assembly rsa years past material pkg reside
nice reuse distinct attacker elf half precision credentials deny cleanup pull email percentage graphical traffic dpkg phase
inclusive unchanged makefile inline overflow september portions oct serve stage minus reliable away printf underscore arising peer
approach syslog maintenance internet addr freedesktop quick far sha abbreviated reboot anymore cycle medium plugin gzip inspect
catch badge browser manner docutils canonical expired satisfy basis propagate minutes solution favor recover pseudo facility met
pure graph insensitive surrounding divided beyond significantly matter sizet img synonym guess contact backend hope goes approved
llvm fill hello feed ready cancel whereas cost texinfo central osslparam crt categories acquire timer expansion rand edu spawn
editor redundant media caveats reproduce unable live subsystem overhead kdf ansi hints diff usable parentheses endian checksums
scale clause thanks cluster leak reload systemctl xml consideration builtin white callback fixme coreutils cms redhat rewrite
sizeof rare claim alone consequently shadow notify consult batch emacs workflows concurrent stands pem annotated inode transport
func ssh party pack hook keymgmt anywhere cmp catalog exchange routines mem critical kib answer secret unsupported jan pending
loader unstable box unspecified regression assumption deb flow argv dictionary compact race latin shields crl analysis semicolon
descendant cryptographic submit glob route framework body deterministic prime idle official ipc milliseconds extremely channel
risk nature nonzero uri subcommand launch summarized enumerate adapt bundle press foreign frequently binutils compliant epoch soon
decision sleep journal learn fine pick concerned intel unnecessary loss five recovery decompress cqt violation greek grow grep
occurrence strictly chapter notification february fragment quickly uuid accurate necessarily assert req proxy variety
approximately mkdir abstract impact weak isolation destroy highlight figure contract ftp confirmation brief bounds jump coverage
retry somewhat robust mtk hit flexible accent age encapsulation relocations gain unexpected plan selinux suspend bring furthermore
workaround rebuild toolchain ext unsafe garbage multiply remember mainly alt center chunks audit arabic priv evppkeyctx
intermediate subscribe square estimated unprivileged demand visit simultaneously hebrew buf shut turkish temporarily atomic drive
behind pool desktop agent magic touch revision ieee worth indirect bypass enum nis explanation benefit evpsignature denotes
advertising region ctrl fifo mib snapshot slice instantiated keygen clang liable xdg reader cursor fraction unavailable west
strongly huge untrusted faq apr perhaps scenarios romanian horizontal wheel enc thomas simpler decrease infrastructure watch busy
contrast tarball evpkeymgmt operand substantial composed cert aspects mips powerpc couple vector tilde uncompressed likewise dist
hang european march infinite pager accordingly render netbsd threshold chroot east delivered incoming snippet precise degree
randomly worker keytype settable gettable bandwidth genpkey cluttering peter sig cgi january userspace registry percent permanent
lowercase detach href employed pkcs unlisted ocsp gettext pop span zip sparse mmap openbsd del cascade cyrillic thai unified
ambiguous fault utc pieces oriented std inconsistent menu mismatch merely maybe populated uninitialized eliminates daniel sudo
ietf yield superseded nicer exhaustion paragraph micro sbin contributors setuid inactive stay fewer overwritten impossible
volatile safety changelog exceeded copyleft osslprovider promote debugger sep encouraged autoconf resume entropy exclamation
respond undo font ordinary decryption constructor kerrisk npmjs xxx ioctl pipeline lowest sparc foreground expensive draw cli
shift anonymous wall jul sequential eventually besides complicated liability aix accompanied guard ratio asm super sched recreate
unpack angle difficult demonstrates pdf await crypt slot marker cgroup overlap circumstances dereference apropos syscall rehash
inhibit negated dbus gui influence notably heap caution shorter bootstrap promise irv apple gpg shortcut afterwards tort observed
latency incorporated reply legal misleading accidentally volume frontend attr cut upload zone analogous ring auxiliary dll obj
hmac outgoing carriage month repeatedly unusual gather opposite advised ibm traversal incorrectly fstab hub quality disallowed
week dummy keyboard gtk rotation yml nordic captured str omega hereby criteria transparently bare aggregate shorthand welcome
constrained allbox wed crypto proceed unmount jun cve lappish baltic rim celtic southeast complain remainder unbreakable bump srp
experience membership timezone chance unfortunately textual killed sysv standalone classic moment occasionally weight feedback
devel misc clarify udp lifetime malloc cast initrd martin scandinavian eskimo strong braces apt candidate kilobytes automated
sclient stime smime trivial substring eight der unlink png benchmark inferred augmented vice versa trim highly nevertheless mind
stub sess bottom bool andrew eric hat sanitizer overall hours coordinated mar queued gnome acls vulnerability plug division oid
dead sharp qdisc pitch acc mirror great inverse sym perf dsaparam sserver alert stdio elapsed entity philip simulate bugzilla
strategy microseconds hack dispatch poll eof moreover typo relationship near dry diablo gen fold dgst errstr subscription
invisible talk foobar cvs roughly discouraged metrics signifying urgency duration objdump resize pctx proposed edge refresh
heuristic sat newname dhparam ecparam gendsa genrsa nseq pkeyparam pkeyutl rsautl sessid spkac storeutl backspace unlimited unlock
transmit eval aug sock probe automake life organization quotation oracle forever revoke cpp icon mod credits comp replication
inverted illustrate effort van hurd problematic stability regenerated ancestor goto goal symmetric rewritten react errno friendly
testsuite mutually lpr mon readonly fifth usa tends transmission termcap preprocessor umask november classified collate broadcast
localhost lazy christoph embed tip website lengths mingw diaeresis diagnosed tutorial mangled odd studio dst alphanumeric
megabytes introspection setgid toggle cmake ctype absence tweak currentuser wire loopback delta cflags forget ram logo stroke
imposed variations libdir zstd mike feel erase supplementary defer google useless identification pin tuning acute freed netdev
cygwin demangle whichever prototype mackenzie floor boston aimed complement maximal charge union tuple tee xfs august dedicated
attention intention insecure spent ben getter autodetection sell savannah stamp relax tom yyyy hour kenzie math cleanly payload
holders cookie dest currency gnupg ideally soname inet collisions assist shape ethernet multithreaded drbg bio tail somewhere sale
jim bpf gdb recompile iec halt flat sourceforge nanoseconds consumption destructive dict folder green transient firewall prohibit
inject workloads safer filetype believe uname collins salt bitmap six bridge cedilla reorder smi gitlab pic arithmetic abc prog
anchor indirectly franklin terminfo richard apart karel zak topics shot indeed ptr endpoint emerg ease infinity contiguous
strength pulled announcement multicast pamsuccess currentrole sessionuser ucb fudge invariant matthias undocumented arc towards
october arrange valgrind speaking adopted succeeded unrecognized aka realtime mozilla knowledge lto uppercase spurious css
deadlock offline smart netlink arrived gracefully daisy semi argc john scratch lzma solely deviate todo execve hardening libtool
pgp apparently undesirable nov pthread mitigate gpt tablename chinese mtu consecutive excess absent vroff grained dirname dwarf
draft unambiguous lexicographic sigint jit theory atredhat joe vim handshake lab fri stateless freely seek beta gib leaf gigabytes
solve discovery late tid burst sect fromdata delegate dangerous inherently fear april formal carefully unmodified pause disclaimer
doubt provisioned cell comm tmpdir nss counterparts penalty obscure simplest accumulate monotonic ago segfault fundamental seq
roman interfere passphrase bucket unwinding ahead corner accuracy prio comprehensive nodejs freeze msvc quota evppkeyqkeygen demo
keyring thin fairly zlib sighup reduction immutable btrfs kzak psql artifacts tablespace curve caret bold sigpipe primitives matt
mouse light nspawn elsewhere blog pound articles circumflex syntactically relocatable distro preprocessed inner col dollar clearly
furnished deemed fourth trouble cumulative tue cmdline proto feb sender nearly blocksize silence interleaved subprocess click fat
unloaded gap governed cxx bogus ppc shake synthesized toolkit guidelines obviously score grave versus bell granularity acknowledge
scroll ldap card june sdk aid superscript circular typedef checker flavor alongside paul surface libssl review dialog sigterm
paper nearest uint reachable realloc libcrypto technology firmware lefteris dimitroulakis edimitro cron bts waste spelling awk
hopefully fingerprint preset wise underlined clobbers lcctype disconnect musl nobody formerly nonexistent dan tiny sandbox
unreachable fsck gateway resembles outline video occupied journalctl indefinitely datagram nist tmpfiles affiliates throughout baz
reg deps nowadays colin implications val multibyte crc thumb parenthesis scalar loadable curses overloaded negligence opposed
handy chown chmod asterisk picture oss nonblocking japanese homepage kmsg cope composite hole heavy proven disappear rpm
accomplish tmpfs refactor iconv german black neighbor opaque alive replay selector tunnel correlate networkd udev wake hybrid
evpmac sticky basename distributors december uniform ctl simon proportional christian sublicense nonstandard placeholder manifest
lightweight collation browse arrow checkout comply openpgp surprising predictable distance facilitate jdk alg journald walk
conduct linear shrink logind guest builder cbc survive fire mutex evppkeyctxfree slh travis entitled xterm factory unaffected
footer desc prop disassembler xattr despite tcl fsync privacy curly james everywhere histogram backtrace autogen frequency aeb
techniques erroneous offload inspired sysfs proofs sibling sysctl ingress builddir usb enqueued ret truly hierarchical negotiation
exponential deliberately serious libpq pay button mime berkeley datadir denial purge fly reconfigure superset accelerator glib
prerequisite subtract scm ultimately gold pairwise throughput icmp sockaddr stricter testcase widget reveal preload panic ada oom
sectors mtime printer ecdsa registration triplet hppa diverse insufficient degraded chris sysroot coredump ulrich wikipedia vger
barrier inter eth jean keypair scrolled elevated outer perfect router remount popular overrun greatly licensestart licenseend
newowner kem bearing rebuilt falling reportbug rework untouched debuginfo treatment face robin buggy esc sed endif trip inotify
timet rationale shortens strange shebang downstream darwin band triple dlopen uni plaintext harm umount subclasses repair stephen
mnt andreas classification minix lifecycle jason columnname evpmd pilcrow cent irrelevant repetition div lcmessages intentionally
mcpu moderated bourne csh balance narrow bitcode afunix prctl pgcolor cwd unimplemented resistant annoying subtree punctuation
dpkgcolors clashes presumably abuse rev companion markup matrix ascending advisable jeff scalable asn ecma pandoc uncommon realize
die affinity libstdc malicious malformed klose rlimit prone lee fcntl tightly superblock arp variadic keyexch macron joel fmt
nonempty whilst fee codename risc stabs amd insignificant nnn company pwd ten terse ellipses loglevel gnat room suid dbname dirty
blundell destdir usec getaddrinfo dpkgnls backported drepper dassen jdassen semaphores mountpoint familiar kit andi dso hot
backlog prf unneeded wal parkway redwood shores capacity obvious siginfo pressure pamunix thereby pkt bootup evpcipher evpmacinit
osx bugfixes alexey doko undef fno reconstruct conserving sshd intervening steve compressor decompressor sourceware profits
commandline frances perm fresh favorite fortran cuda xdgconfighome ebcdic loose fuzz rollback postscript faith play einval rom
closest setenv swedish comprised ack traditionally pss datatype amend gerhard trade luck frozen uts stale parity udevd poweroff
classid evpkdf cmac texi autotools inadvertently watson deactivate placement bfd ticks dickey lsb mimic slowly chrootdir mkfs
yellow revised cfg lccollate cpan lint grab unc friends gnutls jar nonce gov`;

const ranks = new Map<string, number>();
for (const word of list.trim().split(/\s+/)) {
  const stem = stemOf(word);
  if (!ranks.has(stem)) ranks.set(stem, ranks.size);
}

/** How common a stem is in documentation: 0 for the most common one; undefined for a word that few documents hold, such as a name. */
export function commonRank(stem: string): number | undefined {
  return ranks.get(stem);
}
