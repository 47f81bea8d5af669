/* Looks words up in the packed index of search-index.js; the layout is described in paperworks/papers/search.py. */
const WORD = /([가-힣]+)|([\u3040-\u30ff\u3400-\u9fff]+)|((?:(?![가-힣\u3040-\u30ff\u3400-\u9fff])[\p{L}\p{N}])+)/gu;
const TITLE = 1, AUTHOR = 2, TIMES = 4;

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

async function openIndex({ version, block, parts, data }) {
  if (version !== 1) throw new Error(`search index of version ${version}`);
  const text = atob(data), packed = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) packed[at] = text.charCodeAt(at);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  let end = 0;
  const [shown, shared, rests, lengths, steps, weights] = parts.map((size) => bytes.subarray(end, (end += size)));
  const utf8 = new TextDecoder();
  return new Index(JSON.parse(utf8.decode(shown)), { block, shared, rests, lengths, steps, weights, utf8 });
}

class Index {
  constructor(papers, packed) {
    Object.assign(this, packed);
    this.papers = papers;
    this.days = papers.days.flatMap(([date, count]) => Array(count).fill(date));
    this.size = papers.titles.length;
    const count = this.shared.length;
    this.blocks = new Uint32Array(Math.ceil(count / this.block) + 1);
    for (let at = 0, term = 0; at < this.rests.length; at++) {
      if (this.rests[at] === 10 && ++term % this.block === 0) this.blocks[term / this.block] = at + 1;
    }
    this.blocks[this.blocks.length - 1] = this.rests.length;
    this.first = new Uint32Array(count + 1);
    this.start = new Uint32Array(count + 1);
    for (let term = 0, at = 0, step = 0; term < count; term++) {
      let length = 0, shift = 0, byte;
      do {
        byte = this.lengths[at++];
        length |= (byte & 127) << shift;
        shift += 7;
      } while (byte > 127);
      this.first[term + 1] = this.first[term] + length;
      for (; length; length--) while (this.steps[step++] > 127);
      this.start[term + 1] = step;
    }
  }

  /* The terms of a block of the dictionary. */
  blockTerms(number) {
    const rests = this.utf8.decode(this.rests.subarray(this.blocks[number], this.blocks[number + 1])).split("\n");
    let term = "";
    return rests.slice(0, -1).map((rest, place) => (term = term.slice(0, this.shared[number * this.block + place]) + rest));
  }

  /* The number of terms before `word` in the order of code points. */
  before(word) {
    let low = 0, high = this.blocks.length - 2;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.blockTerms(middle)[0] < word) low = middle;
      else high = middle - 1;
    }
    if (this.blocks.length < 2) return 0;
    const at = this.blockTerms(low).findIndex((term) => term >= word);
    return Math.min(at < 0 ? (low + 1) * this.block : low * this.block + at, this.shared.length);
  }

  /* How much each paper has of the words that begin with `word`: Float32Array of the papers, and how many have any. */
  matches(word) {
    const low = this.before(word), high = this.before(word + "\uffff");
    const exact = low < high && this.blockTerms(Math.floor(low / this.block))[low % this.block] === word;
    const amount = new Float32Array(this.size);
    let count = 0;
    for (let term = low, at = this.start[low]; term < high; term++) {
      const share = exact && term === low ? 1 : 0.5;
      let paper = -1;
      for (let posting = this.first[term]; posting < this.first[term + 1]; posting++) {
        let step = 0, shift = 0, byte;
        do {
          byte = this.steps[at++];
          step |= (byte & 127) << shift;
          shift += 7;
        } while (byte > 127);
        paper += step + 1;
        const weight = this.weights[posting];
        if (!amount[paper]) count++;
        amount[paper] += share * ((weight & TITLE ? 8 : 0) + (weight & AUTHOR ? 6 : 0) + Math.floor(weight / TIMES));
      }
    }
    return { amount, count };
  }

  /* The matches of each word; a Korean word that nothing has is tried as two words, then without its end. */
  groups(words) {
    return words.flatMap((word) => {
      const whole = this.matches(word);
      if (whole.count || !/^[가-힣]{3,}$/.test(word)) return [whole];
      for (let cut = word.length - 1; cut >= 2; cut--) {
        const left = this.matches(word.slice(0, cut));
        if (!left.count) continue;
        if (cut === word.length - 1) return [left];
        const right = this.matches(word.slice(cut));
        if (right.count) return [left, right];
      }
      return [whole];
    });
  }

  /* The numbers of the papers that have all words of the query, the best first; equal ones newest first. */
  search(query) {
    const id = /^\s*(?:arxiv:)?\s*(\d{4}\.\d{4,5})(?:v\d+)?\s*$/i.exec(query);
    if (id) return this.papers.anchors.flatMap((anchor, paper) => (anchor.startsWith(id[1]) ? [paper] : []));
    const groups = this.groups([...new Set(terms(query, this.papers.suffixes))]);
    if (!groups.length) return [];
    const phrase = folded(query).trim();
    const scores = new Float32Array(this.size);
    const hits = [];
    for (let paper = 0; paper < this.size; paper++) {
      let score = 0;
      for (const { amount, count } of groups) {
        if (!amount[paper]) {
          score = 0;
          break;
        }
        score += (Math.log(1 + (this.size - count + 0.5) / (count + 0.5)) * amount[paper]) / (amount[paper] + 3);
      }
      if (!score) continue;
      if (groups.length > 1 && folded(this.papers.titles[paper]).includes(phrase)) score *= 1.5;
      scores[paper] = score;
      hits.push(paper);
    }
    return hits.sort((one, other) => scores[other] - scores[one] || one - other);
  }
}
