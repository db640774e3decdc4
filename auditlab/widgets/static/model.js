// How a view comes alive: in a notebook with a kernel behind it, or in a document with a stand-in for one.
//
// A view's script defines `const view = { render(page), answer(data, question) }`.
//   render(page) fills page.root and may give back a function that ends it. `page` has
//     data, title            what is shown
//     state                  what is selected, as an object; page.select({...}) changes parts of it and tells Python
//     onState(call)          call(state) after Python, or another showing of the same widget, changed it
//     ask(question)          a promise of {found, warnings} from WidgetView.answer, or from view.answer in a document
//     fail(words)            shows an error under the widget ("" takes it away)
//     live                   whether a kernel is meant to answer
//     signal                 an AbortSignal for listeners, aborted when the view ends
//     onTheme(call)          call() when light and dark change
//   answer(data, question)   what Python would answer, or a promise of it, found in the data of a document.

const PATIENCE = 30000;

function widget(view) {
  return {
    render({ model, el }) {
      el.classList.add("al-host"); // what a box of ipywidgets holds
      return start(view, model, el, true);
    },
  };
}

function start(view, model, el, live) {
  const ended = new AbortController();
  const root = h("div", { class: "al-root" });
  const alarm = h("p", { class: "al-error", role: "alert", hidden: true, "data-testid": "al-error" });
  const section = h("section", { class: "auditlab", "aria-label": model.get("title"), "data-testid": "auditlab-view" }, root, alarm);
  section.addEventListener("keydown", keepKeys);
  el.replaceChildren(section);
  let own = ""; // what went wrong in the page; what went wrong in Python stays until its next success there
  const alert = () => {
    const words = [...new Set([model.get("error"), own])].filter(Boolean).join("\n");
    alarm.textContent = words;
    alarm.hidden = !words;
  };
  const fail = (words) => { own = words; alert(); };
  const guard = (call) => (...given) => {
    try { return call(...given); } catch (error) { fail(String(error.message ?? error)); return undefined; }
  };
  const page = {
    root, live, fail, guard, signal: ended.signal, data: model.get("data"), title: model.get("title"),
    state: { ...model.get("state") },
    select(patch) {
      Object.assign(page.state, patch);
      model.set("state", { ...page.state });
      model.save_changes();
    },
    onState(call) {
      listen(model, "change:state", guard(() => {
        const told = model.get("state");
        if (JSON.stringify(told) === JSON.stringify(page.state)) return;
        page.state = { ...told };
        call(page.state);
      }), ended.signal);
    },
    onTheme: (call) => onTheme(call, ended.signal),
    ask: asker(model, ended.signal),
  };
  listen(model, "change:error", alert, ended.signal);
  alert();
  const end = guard(view.render)(page);
  if (!own) hideStill(model.get("still"), ended.signal);
  return () => { ended.abort(); if (typeof end === "function") end(); };
}

/** In a notebook a still stands above the view, for when no kernel is there; it gives way to the view while that lives. */
function hideStill(name, signal) {
  if (!name) return;
  const still = `[data-still="${name}"]`;
  const rule = h("style", {}, `${still}, .jp-OutputArea-child:has(> .jp-OutputArea-output > ${still}) { display: none; }`);
  document.head.append(rule);
  signal.addEventListener("abort", () => rule.remove());
}

/** A key that is pressed in a view is for the view: JupyterLab would take it for a command, and cut a cell at "x". */
function keepKeys(event) {
  const { key, shiftKey, ctrlKey, metaKey, altKey } = event;
  const theirs = ctrlKey || metaKey || altKey || key === "Escape" || (key === "Enter" && shiftKey) || /^F\d+$/.test(key);
  if (!theirs) event.stopPropagation();
}

function listen(model, event, call, signal) {
  model.on(event, call);
  signal.addEventListener("abort", () => model.off(event, call));
}

function asker(model, signal) {
  const open = new Map();
  let number = 0;
  listen(model, "msg:custom", (message) => {
    const waiting = open.get(message?.answer);
    if (!waiting) return;
    open.delete(message.answer);
    clearTimeout(waiting.timer);
    if (message.error) waiting.reject(new Error(message.error));
    else waiting.resolve({ found: message.found, warnings: message.warnings ?? [] });
  }, signal);
  return (question) => new Promise((resolve, reject) => {
    number += 1;
    const mine = number;
    const timer = setTimeout(() => {
      open.delete(mine);
      reject(new Error("no answer from Python: its kernel is busy, or was ended. Run the cell again, or look at the table of to_html()."));
    }, PATIENCE);
    open.set(mine, { resolve, reject, timer });
    try {
      model.send({ ask: mine, question });
    } catch { // "Cannot send"
      clearTimeout(timer);
      open.delete(mine);
      reject(new Error("no answer from Python: its kernel was restarted, or was ended. Run the cell again."));
    }
  });
}

function onTheme(call, signal) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", call, { signal });
  const watching = new MutationObserver(call);
  watching.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class"] });
  signal.addEventListener("abort", () => watching.disconnect());
}

/** A typed array over bytes, wherever they begin; nothing gives an empty one. */
function typed(Kind, bytes) {
  if (!bytes) return new Kind(0);
  const { buffer, byteOffset, byteLength } = bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : bytes;
  const size = Kind.BYTES_PER_ELEMENT;
  if (byteOffset % size === 0) return new Kind(buffer, byteOffset, byteLength / size);
  return new Kind(buffer.slice(byteOffset, byteOffset + byteLength));
}

// Documents without a kernel.

class StandIn {
  constructor(values, answer) {
    this.values = values;
    this.answer = answer;
    this.calls = new Map();
  }

  get(name) { return this.values[name]; }

  set(name, given) {
    this.values[name] = given;
    this.tell(`change:${name}`);
  }

  save_changes() {}

  on(event, call) { this.calls.set(event, [...(this.calls.get(event) ?? []), call]); }

  off(event, call) { this.calls.set(event, (this.calls.get(event) ?? []).filter((one) => one !== call)); }

  tell(event, given) { for (const call of this.calls.get(event) ?? []) call(given); }

  async send({ ask, question }) {
    let reply;
    try {
      reply = { answer: ask, found: await this.answer(this.values.data, question), warnings: [] };
    } catch (error) {
      reply = { answer: ask, error: String(error.message ?? error) };
    }
    this.tell("msg:custom", reply);
  }
}

/** What auditlab.widgets.embedding.packed made a text of. */
async function unpacked(text) {
  return opened(fromBase64(text.trim()));
}

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const chars = atob(text);
  const bytes = new Uint8Array(chars.length);
  for (let at = 0; at < chars.length; at += 1) bytes[at] = chars.charCodeAt(at);
  return bytes;
}

/** What auditlab.widgets.embedding.closed made bytes of. */
async function opened(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(stream).arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const start = 4 + length;
  const { value: values, bytes: places } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  for (const [path, at, size] of places) {
    const name = path.pop();
    path.reduce((part, step) => part[step], values)[name] = new Uint8Array(buffer, start + at, size);
  }
  return values;
}

/** Bring the places of a document to life that show this kind of view. */
function stand(name, view) {
  for (const place of document.querySelectorAll(".al-place")) {
    if (place.dataset.view !== name) continue;
    unpacked(document.getElementById(place.dataset.model).textContent).then((values) => {
      const model = new StandIn(values, (data, question) => (view.answer ?? (() => null))(data, question));
      start(view, model, place, false);
      place.dataset.alive = "true";
    }).catch((error) => {
      place.dataset.failed = "true";
      place.append(h("p", { class: "al-error auditlab", role: "alert" }, `the view cannot be shown here (${error.message ?? error}); the table above is what it shows.`));
    });
  }
}
