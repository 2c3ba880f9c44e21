  // What Vega's own index does: the transforms are registered, the rest is the library.
  const {extend} = made["vega-util"];
  extend(made["vega-dataflow"].transforms, made["vega-transforms"], made["vega-view-transforms"], made["vega-encode"]);
  return {
    parse: made["vega-parser"].parse,
    View: made["vega-view"].View,
    Warn: made["vega-util"].Warn,
  };
})();
