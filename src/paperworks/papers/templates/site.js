document.documentElement.classList.add("scripted");
const PAGE = 30, FEW_AUTHORS = 4;
const [query, order, found, list, more] = ["query", "order", "found", "hits", "more"].map((id) => document.getElementById(id));
let index, loading, hits = [], asked = "", latest = 0;

/* A page from disk may not fetch, but it may add scripts. */
function add(source) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = source;
    script.onload = resolve;
    script.onerror = reject;
    document.head.append(script);
  });
}

function load() {
  const { index: data, library } = document.body.dataset;
  loading ??= Promise.all([add(library), add(data)]).then(() => openIndex(self.searchIndex)).then((opened) => {
    delete self.searchIndex;
    index = opened;
  });
  return loading;
}

async function answer(text, composing) {
  const mine = ++latest;
  asked = text.trim();
  history.replaceState(null, "", asked ? "#q=" + encodeURIComponent(asked) : "#");
  if (!asked) return show([]);
  if (!index) {
    found.textContent = words.loading;
    try {
      await load();
    } catch {
      loading = undefined;
      found.textContent = words["not loaded"];
      return;
    }
    if (mine !== latest) return;
  }
  const answers = index.search(asked);
  if (!answers.length && composing && hits.length) return;
  show(answers);
}

function show(answers) {
  hits = answers;
  document.body.classList.toggle("searching", Boolean(asked));
  order.hidden = hits.length < 2;
  found.textContent = !asked ? "" : !hits.length ? words["found none"]
    : hits.length === 1 ? words["found one"] : words.found.replace("{}", hits.length.toLocaleString());
  list.replaceChildren();
  extend();
}

function extend() {
  const sorted = [...hits];
  if (order.value === "newest") sorted.sort((one, other) => one - other);
  if (order.value === "votes") sorted.sort((one, other) => (index.papers.votes[other] ?? -1) - (index.papers.votes[one] ?? -1));
  const from = list.childElementCount;
  const wanted = asked ? terms(asked, index?.papers.suffixes ?? []) : [];
  list.append(...sorted.slice(from, from + PAGE).map((paper) => hit(paper, wanted)));
  more.hidden = list.childElementCount >= hits.length;
  return list.children[from];
}

function hit(paper, wanted) {
  const { titles, authors, votes, anchors } = index.papers;
  const item = document.createElement("li"), link = document.createElement("a"), facts = document.createElement("p");
  const time = document.createElement("time");
  time.textContent = time.dateTime = index.days[paper];
  link.href = index.days[paper].replaceAll("-", "/") + ".html#" + encodeURIComponent(anchors[paper]);
  link.lang = "en";
  link.append(...marked(titles[paper], wanted));
  facts.append(time);
  if (votes[paper] !== null) facts.append(` · ▲ ${votes[paper]}`);
  const names = authors[paper].map((name) => ({ name, parts: marked(name, wanted) }));
  const shown = names.filter(({ parts }, place) => place < FEW_AUTHORS || parts.some((part) => part instanceof Element));
  shown.forEach(({ parts }, place) => facts.append(place ? ", " : " · ", ...parts));
  if (shown.length < names.length) facts.append(" " + words["and others"].replace("{}", names.length - shown.length));
  item.append(link, facts);
  return item;
}

/* The text in parts, those words in marks that begin as the query's do. */
function marked(text, wanted) {
  return text.split(/([\p{L}\p{N}\p{M}]+)/u).filter(Boolean).map((part) => {
    const own = terms(part, index.papers.suffixes);
    if (!own.some((term) => wanted.some((word) => term.startsWith(word)))) return part;
    const mark = document.createElement("mark");
    mark.textContent = part;
    return mark;
  });
}

function read() {
  const text = location.hash.startsWith("#q=") ? decodeURIComponent(location.hash.slice(3)) : null;
  if (text === null) return;
  query.value = text;
  if (!text) query.focus();
  answer(text);
}

query.addEventListener("focus", () => load().catch(() => (loading = undefined)), { once: true });
query.addEventListener("input", (event) => answer(query.value, event.isComposing));
order.addEventListener("change", () => show(hits));
more.addEventListener("click", () => extend()?.querySelector("a").focus());
document.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  list.querySelector("a")?.click();
});
addEventListener("hashchange", read);
addEventListener("keydown", (event) => {
  if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
  const here = document.activeElement;
  if (event.key === "/" && here !== query) {
    query.focus();
    query.select();
  } else if (event.key === "Escape" && document.body.classList.contains("searching")) {
    query.value = "";
    answer("");
    query.focus();
  } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && (here === query || list.contains(here))) {
    const stops = [query, ...list.querySelectorAll("a")];
    const next = stops[stops.indexOf(here) + (event.key === "ArrowDown" ? 1 : -1)];
    next?.focus();
    if (next === query) query.select();
  } else return;
  event.preventDefault();
});
read();
