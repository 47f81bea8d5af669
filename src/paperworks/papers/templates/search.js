/* MiniSearch over the terms of search-index.js, whose layout is described in paperworks/papers/search.py. */
const WORD = /([가-힣]+)|([\u3040-\u30ff\u3400-\u9fff]+)|((?:(?![가-힣\u3040-\u30ff\u3400-\u9fff])[\p{L}\p{N}])+)/gu;
const FIELDS = { title: 1, authors: 2, texts: 4 }, BOOST = { title: 4, authors: 3 }, TITLE_HAS_PHRASE = 1.5;
const AS_ONE_WORD = { tokenize: (word) => [word] };
const PAPERS_AT_ONCE = 50, TERMS_AT_ONCE = 10000;

const folded = (text) => text.toLowerCase().normalize("NFKD").replace(/[\u0300-\u036f]/g, "").normalize("NFC");

function stem(word, suffixes) {
  const suffix = suffixes.find((end) => word.endsWith(end) && word.length - end.length >= 2);
  return suffix ? stem(word.slice(0, -suffix.length), suffixes) : word;
}

function terms(text, suffixes) {
  const found = [];
  for (const [, korean, chinese, other] of folded(text).matchAll(WORD)) {
    if (korean) found.push(stem(korean, suffixes));
    else if (other) found.push(other);
    else for (let at = 0; at < Math.max(chinese.length - 1, 1); at++) found.push(chinese.slice(at, at + 2));
  }
  return found;
}

/* Every Hangul syllable as three letters, for MiniSearch is slow where a term can go on in thousands of ways. */
const spelled = (term) => term.replace(/[가-힣]/g, (syllable) => {
  const at = syllable.charCodeAt(0) - 0xac00;
  return String.fromCharCode(0x1100 + at / 588, 0x1161 + (at % 588) / 28, 0x11a7 + (at % 28));
});

const pause = () => new Promise((done) => setTimeout(done));

async function openIndex({ version, parts, data }) {
  if (version !== 2) throw new Error(`search index of version ${version}`);
  const text = atob(data), packed = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) packed[at] = text.charCodeAt(at);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer()), utf8 = new TextDecoder();
  let end = 0;
  const [shown, shared, rests, lengths, steps, fields] = parts.map((size) => bytes.subarray(end, (end += size)));
  await pause();
  const index = new Index(JSON.parse(utf8.decode(shown)));
  await pause();
  await index.add(await spelledTerms(shared, utf8.decode(rests)), numbers(lengths), numbers(steps), fields);
  return index;
}

/* Numbers of three bytes: all lowest bytes, then all second, then all third. */
function numbers(bytes) {
  const count = bytes.length / 3, found = new Uint32Array(count);
  for (let at = 0; at < count; at++) found[at] = bytes[at] | (bytes[count + at] << 8) | (bytes[2 * count + at] << 16);
  return found;
}

async function spelledTerms(shared, rests) {
  const found = [];
  for (let term = "", at = 0; found.length < shared.length; ) {
    const end = rests.indexOf("\n", at);
    term = term.slice(0, shared[found.length]) + rests.slice(at, end);
    at = end + 1;
    if (found.push(spelled(term)) % TERMS_AT_ONCE === 0) await pause();
  }
  return found;
}

class Index {
  constructor(papers) {
    this.papers = papers;
    this.days = papers.days.flatMap(([date, count]) => Array(count).fill(date));
    this.titles = papers.titles.map(folded);
  }

  /* Gives MiniSearch the papers, whose terms come as a list of papers for each term. */
  async add(spellings, lengths, steps, fields) {
    const size = this.titles.length, first = new Uint32Array(size + 1);
    const each = (found) => lengths.reduce((at, length, term) => {
      for (let paper = -1, end = at + length; at < end; at++) found((paper += steps[at] + 1), term, at);
      return at;
    }, 0);
    each((paper) => first[paper + 1]++);
    for (let paper = 0; paper < size; paper++) first[paper + 1] += first[paper];
    await pause();
    const next = first.slice(), termOf = new Uint32Array(steps.length), fieldsOf = new Uint8Array(steps.length);
    each((paper, term, at) => {
      termOf[next[paper]] = term;
      fieldsOf[next[paper]++] = fields[at];
    });
    await pause();
    const termsIn = (paper, field) => {
      const found = [];
      for (let at = first[paper]; at < first[paper + 1]; at++) {
        if (fieldsOf[at] & FIELDS[field]) found.push(spellings[termOf[at]]);
      }
      return found;
    };
    const asItIs = (value) => value;
    this.engine = new MiniSearch({
      fields: Object.keys(FIELDS),
      extractField: (paper, field) => (field === "id" ? paper : termsIn(paper, field)),
      stringifyField: asItIs,
      tokenize: asItIs,
      processTerm: asItIs,
      searchOptions: {
        tokenize: (text) => [...new Set(terms(text, this.papers.suffixes))],
        processTerm: spelled,
        combineWith: "AND",
        prefix: true,
        boost: BOOST,
      },
    });
    await this.engine.addAllAsync([...this.titles.keys()], { chunkSize: PAPERS_AT_ONCE });
  }

  /* A Korean word that nothing has as two words, or without its end. */
  parts(word) {
    const has = (part) => this.engine.search(part, AS_ONE_WORD).length > 0;
    if (!/^[가-힣]{3,}$/.test(word) || has(word)) return [word];
    for (let cut = word.length - 1; cut >= 2; cut--) {
      const left = word.slice(0, cut), right = word.slice(cut);
      if (has(left) && (right.length === 1 || has(right))) return right.length === 1 ? [left] : [left, right];
    }
    return [word];
  }

  /* The numbers of the papers that have all words of the query, the best first; equal ones newest first. */
  search(query) {
    const id = /^\s*(?:arxiv:)?\s*(\d{4}\.\d{4,5})(?:v\d+)?\s*$/i.exec(query);
    if (id) return this.papers.anchors.flatMap((anchor, paper) => (anchor.startsWith(id[1]) ? [paper] : []));
    const words = terms(query, this.papers.suffixes), phrase = folded(query).trim();
    const boost = (paper) => (this.titles[paper].includes(phrase) ? TITLE_HAS_PHRASE : 1);
    const boostDocument = words.length > 1 ? boost : undefined;
    let found = this.engine.search(query, { boostDocument });
    if (!found.length) {
      const queries = words.flatMap((word) => this.parts(word));
      found = this.engine.search({ combineWith: "AND", queries }, { ...AS_ONE_WORD, boostDocument });
    }
    return found.sort((one, other) => other.score - one.score || one.id - other.id).map(({ id }) => id);
  }
}
