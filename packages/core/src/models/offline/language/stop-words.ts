/** Words that say how something is asked, not what is asked about. Negations and "only" are not among them. */
const list = `
a an the and or but if then else of in on at to from by for with as into onto about over under than that this these those there here it its it's
is are was were be been being am do does did doing done has have had having can could may might must shall should will would
i me my we us our you your he she they them their his her one ones
what which who whom whose when where why how much many whether
please tell say says said explain describe find out look know let lets see
any some all every each other another such same own just also too very so still yet already ever even
get gets got use uses used using thing things way ways someone somebody something anyone anybody anything
s t d ll re ve m don doesn didn isn aren wasn weren hasn haven hadn won wouldn shouldn couldn
e g ie eg etc via per up down within between during while because therefore since until
exactly actually really simply basically document documents documented documentation docs according mention mentioned mentions`;

export const stopWords: ReadonlySet<string> = new Set(list.trim().split(/\s+/));
