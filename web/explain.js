// Why a label: the text before the reviewer with the words that speak for it, or against it, in colour.
// A worker computes it the first time; what this page has seen once it shows at once.

const LOOK_AGAIN_MS = 300;
const LOOK_AGAIN_LATE_MS = 2000;
const TAKEN_WITHIN_MS = 10_000;
const DONE_WITHIN_MS = 90_000;

const button = document.getElementById("why");
const seen = new WeakMap(); // article: what it shows now, and what it has

// call, say, askToSignIn: the desk's own
export function explaining(call, say, askToSignIn) {
  function stateOf(article) {
    if (!seen.has(article)) {
      const plain = article.querySelector(".text bdi");
      seen.set(article, { plain, label: null, last: null, panel: null, found: new Map(), asking: new Set() });
    }
    return seen.get(article);
  }

  const choices = (article) => [...article.querySelectorAll("[data-label]")];
  const explains = (article) => article?.dataset.explains === "1";

  function panelOf(article, state) {
    if (state.panel) return state.panel;
    const panel = document.createElement("div");
    panel.className = "why";
    const group = document.createElement("p");
    group.className = "labels";
    group.role = "group";
    group.ariaLabel = "Explain the label";
    for (const each of choices(article)) {
      const choice = document.createElement("button");
      const name = document.createElement("bdi");
      choice.type = "button";
      choice.className = "quiet";
      choice.dataset.why = each.dataset.label;
      name.textContent = each.dataset.name;
      choice.append(name);
      choice.addEventListener("click", () => show(article, choice.dataset.why));
      group.append(choice);
    }
    const told = document.createElement("div");
    told.role = "status";
    panel.append(group, told);
    article.querySelector(".text").after(panel);
    state.panel = panel;
    return panel;
  }

  function paint(article, words) {
    const state = stateOf(article);
    const found = state.found.get(state.label);
    const panel = panelOf(article, state);
    panel.hidden = state.label === null;
    article.querySelector(".text").replaceChildren(found ? found.text : state.plain);
    for (const each of panel.querySelectorAll("[data-why]"))
      each.setAttribute("aria-pressed", String(each.dataset.why === state.label));
    if (found) panel.lastElementChild.replaceChildren(found.told);
    else panel.lastElementChild.textContent = words;
    reflect(article);
  }

  function show(article, label) {
    const state = stateOf(article);
    state.label = state.last = label;
    paint(article, "A worker is asked why …");
    if (!state.found.has(label) && !state.asking.has(label)) ask(article, label);
  }

  // The broker is away: the explanation waits, and workers are asked again.
  function askedLater(error) {
    if (error.status !== 503) throw error;
    return { state: "waiting" };
  }

  async function ask(article, label) {
    const state = stateOf(article);
    const tell = (words) => state.label === label && paint(article, words);
    const wanted = {
      document_id: Number(article.dataset.id), token: Number(article.dataset.token), label_id: Number(label),
    };
    const began = performance.now();
    state.asking.add(label);
    try {
      while (article.isConnected) {
        const answer = await call("explanation", wanted).catch(askedLater);
        const passed = performance.now() - began;
        if (answer.html) {
          const holder = document.createElement("template");
          holder.innerHTML = answer.html; // from our own server, which escapes every text
          const [text, told] = holder.content.children;
          state.found.set(label, { text, told });
          tell("");
          return;
        }
        if (answer.state === "failed") return tell(`There is no explanation: ${answer.error}.`);
        const late = answer.state === "waiting" && passed > TAKEN_WITHIN_MS;
        if (passed > DONE_WITHIN_MS)
          return tell(
            late
              ? "No worker has taken it. Choose the label again to look once more."
              : "It takes too long. Choose the label again to look once more.",
          );
        const seconds = passed > 2000 ? ` ${Math.round(passed / 1000)} s` : "";
        const words = late ? "No worker has taken it so far; workers are asked again" : "A worker computes it";
        tell(`${words} …${seconds}`);
        await new Promise((done) => setTimeout(done, late ? LOOK_AGAIN_LATE_MS : LOOK_AGAIN_MS));
      }
    } catch (error) {
      if (error.status === 401) askToSignIn();
      tell(error.status ? `There is no explanation: ${error.message}` : "The server can't be reached.");
    } finally {
      state.asking.delete(label);
    }
  }

  function hide(article) {
    stateOf(article).label = null;
    paint(article, "");
  }

  function ready(article) {
    if (!article) return false;
    if (!explains(article)) say("There is no prediction here that could be explained.");
    else if (article.querySelector(".blurred")) say("Show the text first.");
    else return true;
    return false;
  }

  function toggle(article) {
    if (!ready(article)) return;
    const state = stateOf(article);
    if (state.label !== null) hide(article);
    else show(article, state.last ?? choices(article)[0].dataset.label);
  }

  function next(article) {
    if (!ready(article)) return;
    const labels = choices(article).map((each) => each.dataset.label);
    const state = stateOf(article);
    show(article, labels[(state.label === null ? 0 : labels.indexOf(state.label) + 1) % labels.length]);
  }

  function reflect(article) {
    button.hidden = !explains(article);
    button.setAttribute("aria-pressed", String(Boolean(article && seen.get(article)?.label)));
  }

  return { toggle, next, reflect };
}
