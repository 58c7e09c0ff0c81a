"""Words that the rules of this package know: lists, no logic."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    """Split at "/", longest first, so that an alternation of them matches as much as it can."""
    return tuple(sorted((" ".join(phrase.split()) for phrase in text.split("/")), key=lambda phrase: -len(phrase)))


ABBREVIATIONS = _words("""
    w.o w.l.o.g i.i.d s.t
    fig figs eq eqs eqn eqns equ equs sec secs sect tab tabs alg algs ref refs app appx suppl supp mat no nos vol pp ch
    chap def thm prop lem cor e.g i.e eg ie cf vs v.s w.r.t wrt viz approx resp incl excl dr prof mr mrs ms st dept univ
    max min avg std var val acc dim param params config est exp exps
""")
"""After these a full stop does not end a sentence."""

ABBREVIATIONS_THAT_MAY_END = _words("""
    al etc jr sr inc ltd co corp u.s u.k a.k.a p.m a.m no max min avg std var val acc dim param params config est mat
    app
""")
"""After these it does where a capital follows; some are plain words as well."""

ENGLISH_FUNCTION_WORDS = _words(
    "the of and in to a is are for with on by as from that we our at an be this which it or"
)

FOREIGN_FUNCTION_WORDS = _words("""
    der das und ist von mit auf eine einer nicht zu le les et des une du dans pour avec sur el los las una del para que
    y il lo gli che um uma em nos na het een voor zijn
""")
"""Words of German, French, Spanish, Italian, Portuguese and Dutch that no English text needs."""

STOPWORDS = _words("""
    this that these those with from into onto over under then than when where which while also both each such only more
    most some same different between across using used uses shows show shown figure table panel method methods model
    models proposed approach results result ours other their they have been being does given based prior work
""")
"""Longer words that any two sentences of a paper may share."""

SAYS_LITTLE = _words("""
    three four five across among seen observed illustrated depicted demonstrated presented displayed generally clearly
""")
"""Words that make no sentence another one."""

GENERIC_SINGLE_WORDS = _words("""
    the and for with from into our ours input inputs output outputs step stage method model images image text figure
    ground truth left right top bottom first second prior work new all one two are not via per add loss
    frozen true false common swap training inference
    component components existing target provide provides task tasks data source question example examples different
""")
"""Words in a figure with a capital, yet no name of a component."""

COMPONENT_WORDS = _words("""
    encoder decoder backbone head neck layer block module branch network net transformer attention convolution conv
    pooling pool softmax sigmoid norm normalization mlp embedding token feature map loss classifier generator
    discriminator predictor detector extractor projector projection estimator tokenizer sampler mapper memory bank
    buffer queue cache gate unit stream stage fusion alignment aggregation concat concatenation add sum mean average
    linear relu gelu dropout residual shortcut connection prompt query key value mask adapter controller policy
    critic actor teacher student agent planner renderer optimizer retriever reranker library database graph node
    edge pyramid proposal anchor box segmentation detection classification regression reconstruction prediction
    generation inference training similarity score index upsampling downsampling warping rendering sampling masking
    matching clustering tracking frame patch view point depth
    flow pose
""")
"""Names that components have in any paper."""

WORK_VERBS = _words("""
    encode decode feed fed take taken pass produce generate extract compute apply applied concatenate project optimize
    optimise predict map transform fuse align sample update process output select segment split combine retrieve use
    add embed receive send sent integrate aggregate refine reconstruct remove filter classify classified convert train
    pre-train fine-tune finetune attend normalize pool warp render minimize maximize attach present set insert stack
    built unpool rectify downsample upsample crop detect match estimate measure learn learnt collect cluster track
    flatten deliver enhance guide reweight decompose merge quantize compress store query rank gather connect replace
    penalize supervise distill copy copied return yield obtain write read fill clip divide attack base exchange
    broadcast simulate initialize mask denoise perturb translate rotate scale sum multiply subtract average
""")
"""Verbs of the work that components do."""

NON_EDGE_WORDS = _words("the a an and or of for with from into to in on by our is are we at as")

NOUN_WANTED_AFTER = _words(
    "in by of from following follow follows to than unlike like and or with see as besides except excluding over"
)
"""A citation after one of these stands for a noun: it cannot go without another in its place."""

CONNECTIVES = _phrases("""
    However / Moreover / Furthermore / In addition / Additionally / Besides / Therefore / Thus / Hence / Consequently /
    Accordingly / Specifically / Concretely / In particular / As a result / To this end / For example / For instance /
    Similarly / Likewise / Meanwhile / On the other hand / In contrast / By contrast / Conversely / Nevertheless /
    Next / Then / Finally / Also / Again / Notably / Note that / Indeed / Overall / In fact / In this way /
    In this case / Intuitively / In specific / In detail / To be specific / More precisely / In short / In summary /
    To summarize / At the same time / Subsequently / Correspondingly / Lastly / Last
""")
"""They join a sentence to the one before and can go where it stands first, before a comma."""

CONNECTIVES_WITHOUT_COMMA = _phrases("Note that / Thus / Therefore / Hence / Then / Also / Notably / Finally / However")
"""Openings that can go without a comma too."""

BACK_REFERENCES = _phrases("""
    Specifically / More specifically / In particular / Concretely / As a further / Further, / It / They / This /
    These / That / Those / Such / Its / Their / He / She / Here / There / Therefore / Thereby / Thus / Hence / Both
    / The (?:objective|goal|aim|idea|intuition|purpose|rationale|key|point|hope|insight|conclusion) (?:is(?! simple|
    straightforward)|was|here|behind) / The former / The latter / The same / The above / The other / The reason / So
    / As such / Doing so / Otherwise / Where / Which / And / But / Or / Others / Other / Another / Because of this /
    Because of that / Due to this / Due to that / To address this / To this / To that end / To do so / In doing so /
    By doing so / By this / By that / With this / With that / For this / From this / Based on this / Based on that /
    Given this / Following this / Toward this / Towards this / Under this / Under these / Apart from this / After
    this / After that / Afterward / Afterwards / Subsequently / Lastly / Next(?! to) / Then / Finally / Secondly /
    Thirdly / Second, / Third, / Fourth, / As before / Similarly(?! to) / Likewise / Conversely / Instead(?! of) /
    In contrast(?! to| with) / By contrast / On the contrary / On the other hand / Meanwhile / In comparison(?! to|
    with) / As a result(?! of) / Consequently / Accordingly / As a consequence(?! of) / In this case / In that case
    / In this way / In these cases / In both cases / In all cases / In either case / In turn / In other words / That
    is / Each of them / All of them / Some of them / None of them / One of them / Most of them / Even so /
    Nevertheless / Nonetheless / Unfortunately / Fortunately / Ideally / Alternatively / Still, / Even then / Worse,
    / For example / For instance / Except for this / Except that / One (?:\\w+
    )?(?:difference|exception|reason|advantage|drawback|limitation|problem|issue|benefit|solution)
""")
"""A sentence that starts with one of these needs the one before it; patterns, so that "In contrast to" does not."""
