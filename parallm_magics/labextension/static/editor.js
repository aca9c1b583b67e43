// Cells that begin with %%fanout or %%vote are edited as text, not as Python: no indentation after a
// colon, a bracket or a full stop, and colours for directives, options and {{variables}} alone. In other
// cells, the line after a line magic begins where the magic does.
//
// JupyterLab 4 and Notebook 7 load this file as it stands: a federated module written by hand, which
// takes CodeMirror from the page. It reads the cell's text, and changes nothing but how it is edited.
//
// It also passes on clicks on Cancel in a page that runs Python itself (parallm_magics/notebook/page_clicks.py).
(() => {
  'use strict';

  // The words and patterns of parallm_magics/cell; tests compare what both read in a cell.
  const WORDS = {
    fanout: ['section', 'guardrail', 'synthesis'],
    vote: ['voter', 'judge', 'guardrail', 'panel']
  };
  const PAIR = ['system', 'prompt'];
  const BLANK = String.raw`[\s\x00-\x1f\x7f-\x9f\u2800\p{Default_Ignorable_Code_Point}]`;
  const ABOVE = new RegExp(`^${BLANK}*(?:#.*)?$`, 'su');
  const HEAD = new RegExp(String.raw`^${BLANK}*%%(fanout|vote)(?!\S)`, 'u');
  const DIRECTIVE = new RegExp(String.raw`^(${BLANK}*%)(\S+)`, 'u');
  const LINE_MAGIC = /^%[a-z_]/;
  const MARKER = /^\s*#\s*(NBVAL_[A-Z_]+|PYTEST_VALIDATE_IGNORE_OUTPUT)\s*$/;
  const CELL_OPTION = /^\s*#\|/;
  const NAME = String.raw`[\p{XID_Start}_]\p{XID_Continue}*`;
  const STEP = String.raw`\.${NAME}|\[(?:"[^"\n]*"|'[^'\n]*'|-?\d{1,9})\]`;
  const PATH = `${NAME}(?:${STEP})*`;
  const OUTPUT = String.raw`outputs\.[\p{XID_Start}_][\p{XID_Continue}-]*`;
  const braces = path =>
    new RegExp(String.raw`(?<!\\)(\\*)(?<![{$])\{\{${BLANK}*(?:${path})${BLANK}*\}\}(?!\})`, 'gu');
  const VARIABLE = braces(PATH);
  const VARIABLE_OR_OUTPUT = braces(`${OUTPUT}|${PATH}`);

  /** The magic of ours that these lines begin with, blank and comment lines above it aside. */
  function magicOf(lines) {
    for (const line of lines) {
      const found = HEAD.exec(line);
      if (found || !ABOVE.test(line)) return found?.[1] ?? null;
    }
    return null;
  }

  /** The directive that a line is, in a cell of that magic: its word and where that ends; or null. */
  function directive(line, magic) {
    const [, lead, word] = DIRECTIVE.exec(line) ?? [];
    if (!WORDS[magic]?.includes(word) && !PAIR.includes(word)) return null;
    return { word, end: lead.length + word.length };
  }

  /** What a line is, text, options or a comment, and where its magic or directive ends. */
  function enter(line, state) {
    if (state.magic === null) {
      const found = HEAD.exec(line);
      state.magic = found?.[1] ?? null;
      return found ? { kind: 'options', end: found[0].length } : { kind: 'comment', end: 0 };
    }
    const dropped = MARKER.test(line) || (state.top && CELL_OPTION.test(line));
    state.top &&= dropped;
    if (dropped) return { kind: 'comment', end: 0 };
    const found = directive(line, state.magic);
    if (!found) return { kind: 'text', end: 0 };
    if (PAIR.includes(found.word)) return { kind: 'text', end: found.end };
    state.block = found.word;
    return { kind: 'options', end: found.end };
  }

  /** The next variable of a line from `stream.pos` on; `at` is its place, Infinity without one. */
  function nextVariable(stream, state) {
    const pattern = state.block === 'synthesis' ? VARIABLE_OR_OUTPUT : VARIABLE;
    pattern.lastIndex = stream.pos;
    for (let found; state.variables && (found = pattern.exec(stream.string)); ) {
      if (!found[1]) return { at: found.index, end: pattern.lastIndex };
    }
    return { at: Infinity, end: Infinity };
  }

  /** Go on to a place in the line or to its end. */
  function advance(stream, place) {
    stream.pos = Math.min(place, stream.string.length);
  }

  /** The style of the next piece of a line of options. */
  function option(stream, state) {
    const variable = nextVariable(stream, state);
    if (variable.at === stream.pos) {
      advance(stream, variable.end);
      return 'variableName.special';
    }
    const until = pattern => {
      const length = stream.string.slice(stream.pos).search(pattern);
      advance(stream, Math.min(variable.at, length < 0 ? Infinity : stream.pos + length));
    };
    if (state.quote) {
      if (stream.eat(state.quote)) state.quote = '';
      else until(state.quote);
      return 'string';
    }
    if (stream.match(/^\s+/)) return null;
    const first = /\s/.test(stream.string[stream.pos - 1]);
    const flag = first && stream.match(/^--?[A-Za-z][\w-]*/);
    if (flag) {
      if (flag[0] === '--no-vars') state.variables = false;
      return 'operator';
    }
    state.quote = stream.eat(/["']/) ?? '';
    if (state.quote) return 'string';
    until(/["'\s]/);
    return null;
  }

  /** The style of the next piece of a prompt. */
  function prompt(stream, state) {
    const variable = nextVariable(stream, state);
    const here = variable.at === stream.pos;
    advance(stream, here ? variable.end : variable.at);
    return here ? 'variableName.special' : null;
  }

  const grammar = {
    name: 'parallm',
    startState: () => ({
      magic: null,
      block: '',
      top: true,
      kind: 'text',
      quote: '',
      variables: true
    }),
    token(stream, state) {
      if (stream.sol()) {
        const { kind, end } = enter(stream.string, state);
        Object.assign(state, { kind, quote: '' });
        if (end) {
          advance(stream, end);
          return 'keyword';
        }
      }
      if (state.kind === 'options') return option(stream, state);
      if (state.kind === 'text') return prompt(stream, state);
      stream.skipToEnd();
      return 'comment';
    },
    blankLine(state) {
      state.top &&= state.magic === null;
    },
    // So that a whole cell can be switched off, as any other one.
    languageData: { commentTokens: { line: '#' } }
  };

  /** From a cell's text to its editor's extensions: text while the cell begins with a magic of ours. */
  function editing({ Compartment, EditorState, Prec }, { StreamLanguage, indentService }) {
    // What is typed is the prompt, so a new line begins with nothing; what stands there is left alone.
    const indentation = context => (context.simulatedBreak === null ? null : 0);
    const text = Prec.highest([StreamLanguage.define(grammar), indentService.of(indentation)]);
    const python = [];
    // Python takes the percent sign of a line magic for an operator, and would continue there.
    const afterMagic = indentService.of(context =>
      context.simulatedBreak !== null && LINE_MAGIC.test(context.lineAt(context.simulatedBreak, -1).text)
        ? 0
        : undefined
    );
    const wanted = lines => (magicOf(lines) ? text : python);
    return source => {
      const slot = new Compartment();
      return [
        slot.of(wanted(source.split('\n'))),
        Prec.high(afterMagic),
        EditorState.transactionExtender.of(change => {
          const next = wanted(change.newDoc.iterLines());
          return next === slot.get(change.startState) ? null : { effects: slot.reconfigure(next) };
        })
      ];
    };
  }

  let scope = {};

  /** A module that the page shares: the copy in use, else the newest one. */
  async function shared(name) {
    const newest = Object.entries(scope[name] ?? {}).sort(
      ([a, first], [b, second]) =>
        !first.loaded - !second.loaded || b.localeCompare(a, undefined, { numeric: true })
    )[0];
    if (!newest) throw new Error(`parallm_magics: this page has no ${name}`);
    return (await newest[1].get())();
  }

  async function extension() {
    const [codemirror, state, language] = await Promise.all(
      ['@jupyterlab/codemirror', '@codemirror/state', '@codemirror/language'].map(shared)
    );
    const extensionsOf = editing(state, language);
    const plugin = {
      id: 'parallm_magics:editor',
      description: 'Edits cells that begin with %%fanout or %%vote as text.',
      autoStart: true,
      requires: [codemirror.IEditorExtensionRegistry],
      activate: (app, registry) => {
        registry.addExtension({
          name: 'parallm_magics',
          factory: ({ model }) => {
            if (model.type !== 'code') return null;
            const extensions = extensionsOf(model.sharedModel.getSource());
            return { instance: () => extensions, reconfigure: () => null };
          }
        });
      }
    };
    return () => ({ __esModule: true, default: plugin });
  }

  const STOPS = /\bparallm-live-stop-\w+/;

  /** Tell the run whose button was clicked, by the channel that the button's class names. */
  function passOn(event) {
    const button = event.target.closest?.('.parallm-live button');
    const name = button?.className.match(STOPS)?.[0];
    if (!name) return;
    const channel = new BroadcastChannel(name);
    channel.postMessage('click');
    channel.close();
  }

  document.addEventListener('click', passOn, true);
  document.body.classList.add('parallm-clicks');

  const modules = { './extension': extension };
  window._JUPYTERLAB = window._JUPYTERLAB ?? {};
  window._JUPYTERLAB.parallm_magics = {
    init(shareScope) {
      scope = shareScope;
    },
    async get(name) {
      if (!(name in modules)) throw new Error(`parallm_magics has no module ${name}`);
      return modules[name]();
    }
  };
})();
