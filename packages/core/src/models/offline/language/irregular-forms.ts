/** Inflections that no suffix rule finds, for the verbs and nouns that documentation uses. */
const forms = `
write wrote written|run ran|build built|choose chose chosen|send sent|keep kept|make made|show shown|find found|give gave given
take took taken|leave left leaving|lose lost|hold held|begin began begun|break broke broken|know knew known|think thought|mean meant
speak spoke spoken|bring brought|buy bought|catch caught|get got gotten|see saw seen|go went gone|come came|become became
grow grew grown|throw threw thrown|draw drew drawn|drive drove driven|fall fell fallen|hide hid hidden|rise rose risen
spend spent|stand stood|understand understood|tell told|win won|say said|pay paid|sell sold|feed fed|lead led|meet met|bind bound|wind wound
child children|index indices indexes|vertex vertices|matrix matrices|datum data|criterion criteria|person people|appendix appendices
long length longer longest|high height higher highest|wide width wider widest|deep depth deeper deepest|fast faster fastest|big bigger biggest
small smaller smallest|large larger largest|slow slower slowest|old older oldest|new newer newest|early earlier earliest|good better best|bad worse worst
die dying died|lie lying|tie tying|asynchronous async|synchronous sync|dependency dependencies|repository repo repos|documentation docs doc
configuration config configs conf|environment env|directory dir dirs|parameter param params|argument arg args|authentication auth
application app apps|administrator admin|maximum max|minimum min|average avg|message msg|specification spec specs|reference ref refs
development dev|production prod|temporary temp tmp|library lib libs|source src|execute exec|expression expr|regular regexp regex|statistics stats
javascript js|typescript ts|python py|golang go|database databases db dbs|kubernetes k8s|postgres postgresql|number num`;

/** From a form to its base; Porter's rules do the regular ones. */
export const irregularForms: ReadonlyMap<string, string> = new Map(
  forms
    .trim()
    .split(/[|\n]/)
    .flatMap((group) => {
      const [base = "", ...rest] = group.split(" ");
      return rest.map((form): [string, string] => [form, base]);
    }),
);
