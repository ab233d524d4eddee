// The page: pictures in, bars out. Names and labels come from strangers, so they are only ever set as textContent.

const SHOWN = 5; // classes shown at once; the others are folded away
const SURE = 0.6; // probability below which the answer is worded as a guess
const POLL = { waiting: 1500, serving: 10000, report: 60000 }; // milliseconds between two questions for the model, a report

const byId = (id) => document.getElementById(id);
const percent = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let queue = Promise.resolve(); // pictures are asked about one after another, in the order they came

function take(files) {
  if (byId("file").disabled) return;
  for (const file of files) {
    const card = addCard(file);
    queue = queue.then(() => ask(file, card));
  }
}

function addCard(file) {
  const card = byId("answer").content.firstElementChild.cloneNode(true);
  const image = card.querySelector("img");
  card.querySelector(".name").textContent = file.name;
  card.classList.add("looking");
  say(card, "Looking…");
  image.onerror = () => image.parentElement.classList.add("blank"); // a format the browser cannot show
  image.onload = () => URL.revokeObjectURL(image.src);
  image.alt = `Your picture ${file.name}`;
  image.src = URL.createObjectURL(file);
  byId("answers").prepend(card);
  return card;
}

async function ask(file, card) {
  try {
    const answer = await predict(file);
    showModel(answer.model);
    showAnswer(card, answer.classes);
  } catch (error) {
    const remedy = card.querySelector(".remedy");
    card.classList.add("bad");
    say(card, error.message);
    remedy.textContent = error.cause;
    remedy.hidden = false;
  }
  card.classList.remove("looking");
}

async function predict(file) {
  for (let attempt = 1; ; attempt++) {
    const form = new FormData();
    form.append("file", file, "picture"); // the name stays here
    let response, body;
    try {
      response = await fetch("/predict", { method: "POST", body: form });
      body = await response.json();
    } catch {
      throw new Error("The website did not answer.", { cause: "See that you are online, then try again." });
    }
    if (response.ok) return body;
    if (body.reason === "busy" && attempt < 10) {
      await sleep(1000 * Number(response.headers.get("Retry-After") || 1));
      continue;
    }
    throw new Error(body.error, { cause: body.remedy });
  }
}

function showAnswer(card, classes) {
  const [best] = classes;
  say(card, best.probability < SURE ? `Perhaps ${best.label}` : best.label);
  const fold = card.querySelector("details");
  const [shown, folded] = card.querySelectorAll(".bars");
  const cut = classes.length > SHOWN + 1 ? SHOWN : classes.length; // folding a single one away helps nobody
  shown.append(...classes.slice(0, cut).map(bar));
  folded.append(...classes.slice(cut).map(bar));
  fold.hidden = cut === classes.length;
  fold.firstElementChild.textContent = `${classes.length - cut} more`;
  shown.firstElementChild.classList.add("top");
}

function bar({ label, probability }) {
  const row = byId("bar").content.firstElementChild.cloneNode(true);
  row.querySelector(".label").textContent = label;
  row.querySelector(".percent").textContent = percent.format(probability);
  const fill = row.querySelector(".track span");
  requestAnimationFrame(() => requestAnimationFrame(() => { fill.style.width = `${probability * 100}%`; }));
  return row;
}

function say(card, text) {
  card.querySelector(".verdict").textContent = text;
}

function showModel(version) {
  byId("waiting").hidden = true;
  byId("file").disabled = false;
  byId("dot").classList.add("on");
  byId("model").textContent = `Model ${version}`;
}

function showWaiting(text, status) {
  byId("waiting").hidden = false;
  byId("waiting-text").textContent = text;
  byId("file").disabled = true;
  byId("dot").classList.remove("on");
  byId("model").textContent = status;
}

async function follow() {
  for (;;) {
    let serving = false;
    if (!document.hidden) {
      try {
        const { model, refused } = await (await fetch("/readyz", { cache: "no-store" })).json();
        serving = Boolean(model);
        if (serving) showModel(model);
        else if (refused) showWaiting("A model is there but cannot be used yet. This page comes alive by itself when one can.", "No model yet");
        else showWaiting("The first model is being trained. This page comes alive by itself.", "No model yet");
      } catch {
        showWaiting("The website does not answer. This page comes back by itself when it does.", "Not connected");
      }
    }
    await sleep(serving ? POLL.serving : POLL.waiting);
  }
}

async function followReport() {
  for (;;) {
    if (!document.hidden) {
      try {
        const answer = await fetch("/report.json", { cache: "no-store" });
        if (answer.ok) byId("report").hidden = !(await answer.json()).report;
      } catch {
        // the model's line says that the website does not answer
      }
    }
    await sleep(document.hidden ? POLL.waiting : POLL.report);
  }
}

byId("file").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = ""; // so that the same picture can be chosen again
});
byId("form").addEventListener("submit", (event) => event.preventDefault());

// The whole window takes drops, or a picture that misses the field would replace the page.
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  take(event.dataTransfer.files);
});
addEventListener("paste", (event) => take(event.clipboardData.files));

follow();
followReport();
