"""Words that the rules of this package know: lists, no logic."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    """Separated by "/", longest first, so that an alternation of them matches as much as it can."""
    return tuple(sorted((" ".join(phrase.split()) for phrase in text.split("/")), key=lambda phrase: -len(phrase)))


ABBREVIATIONS = _words("""
    fig figs eq eqs eqn eqns sec secs sect tab tabs alg algs ref refs app appx suppl supp mat no nos vol pp ch chap def
    thm prop lem cor e.g i.e eg ie cf vs v.s w.r.t wrt viz approx resp incl excl dr prof mr mrs ms st dept univ max min
    avg std var val acc dim param params config est
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

STOPWORDS = _words("""
    this that these those with from into onto over under then than when where which while also both each such only more
    most some same different between across using used uses shows show shown figure table panel method methods model
    models proposed approach results result ours other their they have been being does given based prior work
""")
"""Longer words that any two sentences of a paper may share."""

GENERIC_SINGLE_WORDS = _words("""
    the and for with from into our ours input inputs output outputs step stage method model images image text figure
    ground truth left right top bottom first second prior work new all one two are not via per add loss
    component components existing target provide provides task tasks data source question example examples different
""")
"""In a figure with a capital, yet no name of a component."""

NON_EDGE_WORDS = _words("the a an and or of for with from into to in on by our is are we at as")

NOUN_WANTED_AFTER = _words("in by of from following follow follows to than unlike like and or with see as")
"""A citation after one of these stands for a noun: it cannot go without another in its place."""

CONNECTIVES = _phrases("""
    However / Moreover / Furthermore / In addition / Additionally / Besides / Therefore / Thus / Hence / Consequently /
    Accordingly / Specifically / Concretely / In particular / As a result / To this end / For example / For instance /
    Similarly / Likewise / Meanwhile / On the other hand / In contrast / By contrast / Conversely / Nevertheless /
    Next / Then / Finally / Also / Again / Notably / Note that / Indeed / Overall / In fact / In this way /
    In this case / Instead / Intuitively
""")
"""They join a sentence to the one before and can go where it stands first."""

BACK_REFERENCES = _phrases("""
    It / They / This / These / That / Those / Such / Its / Their / He / She / Here / There / Therefore / Thereby /
    Both / The former / The latter / The same / So / Because of this / Because of that / Due to this /
    Due to that / As such / Doing so / Otherwise / Where / Which / And / But / Or / To address this / To this
""")
"""A sentence that starts with one of these needs the one before it."""
