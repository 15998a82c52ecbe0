"""The wordings of questions about one picture, by kind of question.

Slots: ``{kind}``, ``{kinds}`` (plural), ``{a_kind}``, ``{colour}``, ``{thing}`` (colour and kind), ``{a_thing}``, ``{things}``,
``{place}``, ``{background}``, ``{number}``.
"""

from __future__ import annotations

DESCRIBE = (
    "[describe|please describe] [the|this] picture[ for me| to me| in one sentence| briefly||].",
    "[what is|what do you see|what can you see|what can be seen|what is shown|what is visible] [in|on] [the|this] picture?",
    "what [does|do] [the|this] picture show?",
    "what does [it|this] show?",
    "what [is this|is this a picture of|is it|am i looking at|have i attached|did i attach|did i send you|is in it|is on it]?",
    "what [do|can] you see[ here| in it|]?",
    "[can|could|would] you [please |]describe [the picture|this picture|it|what you see|this]?",
    "[tell me|say] what [you see|is in the picture|is in this picture|the picture shows|this is|it shows].",
    "[give me|i want|write|i need|i would like] a [short |full |brief ||][description|caption|summary] of [the|this] picture.",
    "describe [it|what you see|this|the scene|everything you see|what is there|all the shapes].",
    "[caption|describe|explain|summarise|summarize] [this|the] [picture|scene].",
    "what is [in|on] [it|there|here]?",
    "describe [the|this] picture [in detail|briefly|in one sentence|in words|in a sentence|fully|exactly|as exactly as you can].",
    "[what|which] shapes and colours [are there|do you see|are in the picture|does it have]?",
    "[can|do] you see [the|my|this] picture[, what is in it|, what is it|]?",
    "what [is|are] the [scene|objects and colours|things on it|things in the picture]?",
    "i cannot see the picture. [what is in it|describe it|what does it show]?",
    "[in one sentence|in short|briefly], what [is this|is in the picture|does the picture show|do you see]?",
    "[look at|have a look at|check] [the|this] picture[ and describe it|: what is in it| and tell me what you see|, what do you see].",
    "[which|what] shapes [with which colours |and colours |]are [where|in the picture and where]?",
    "list [everything|all you see|all the shapes with their colours and places][ in the picture|].",
    "[i dropped|here is|i have attached|i attached|this is] [a|my] picture[, describe it|, what is on it]?",
    "[i dropped|here is|i have attached|i attached|this is] [a|my] picture[. what is in it|: what do you see]?",
    "[what is|tell me] [the content|the contents] of [the|this] picture?",
    "picture[ description|?| contents|: describe].",
)
COLOUR_OF_KIND = (
    "[what|which] colour is the {kind}[ in the picture| in this picture| here||||]?",
    "[what is|tell me|name|give me|what would you say is] the colour of the {kind}[ in the picture| in this picture||||]?",
    "[what|which] colour does the {kind} have?",
    "the {kind} [is|has] [what|which] colour?",
    "[in|of] [what|which] colour is the {kind}[ drawn| painted| filled|]?",
    "[the |]{kind} colour?",
    "[the |]colour of the {kind}?",
    "[can|could] you [tell me|say|see] [what colour the {kind} is|the colour of the {kind}|which colour the {kind} has]?",
    "[do you know|i want to know|i would like to know|tell me|say|please say] [what|which] colour the {kind} [is|has].",
    "how is the {kind} coloured?",
    "there is a {kind}[ in the picture| here|]. [what|which] colour is it?",
    "look at the {kind}: [what|which] colour is it?",
    "what is the {kind}'s colour?",
    "and the colour of the {kind}?",
    "[what|which] colour {kind} [is it|is this|is that|do you see|is in the picture|is there]?",
    "[name|identify|state|determine] the colour of the {kind}.",
    "what [shade|hue|colour] is the {kind}?",
)
SHAPE_OF_COLOUR = (
    "[what|which] shape is {colour}[ in the picture| here|||]?",
    "[what|which] shape is the {colour} [one|thing|object|figure|item]?",
    "[what|which] [shape|figure|form] [has|is in] the colour {colour}?",
    "what is [the {colour} shape|the {colour} thing|the {colour} object|the {colour} one|the {colour} figure]?",
    "what is {colour}[ in the picture| in this picture| here|||]?",
    "which [one|object|figure|of the shapes|of them] is {colour}?",
    "[name|identify|tell me] the {colour} [shape|object|thing|figure].",
    "the {colour} [shape|one|thing|object] is [what|a what|which shape|what shape]?",
    "[what|which] [shape|form] does the {colour} [thing|object|one|figure] have?",
    "what kind of [shape|thing|object|figure] is {colour}?",
    "what kind of shape is the {colour} [one|thing|object]?",
    "[the |]shape of the {colour} [one|thing|object|figure]?",
    "what is the shape of the {colour} [one|thing|object|figure]?",
    "[can|could] you [tell me|say|see] [what|which] shape is {colour}?",
    "[tell me|say|i want to know|do you know] [what|which] shape is {colour}.",
    "[what|which] shape is [drawn|painted|coloured|filled] [in |]{colour}?",
    "{colour} shape?",
    "is the {colour} [shape|one|thing] a circle, a square or [something else|another shape|what]?",
    "there is something {colour}[ in the picture| here|]. what is it?",
)
COUNT = (
    "how many shapes[ are there| are in the picture| are in this picture| can you see| do you see| are shown]?",
    "how many shapes[ does the picture have| are drawn| are there in the picture||]?",
    "how many [things|objects|figures|items|forms] [are there|are in the picture|can you see|do you see|are shown|does the picture show]?",
    "count the [shapes|objects|figures|things][ in the picture| for me| here|].",
    "[what is|tell me|give me|say] the number of [shapes|objects|figures][ in the picture| here|]?",
    "[can|could] you count the [shapes|objects|things|figures][ in the picture| for me|]?",
    "[the |]number of [shapes|objects]?",
    "[tell me|say|i want to know|do you know] how many shapes [there are|are there|you see|you can see|are in the picture].",
    "how many are there[ in the picture| in all| altogether| in total|]?",
    "[shape|object] count?",
    "count [them|the shapes|everything|all shapes].",
    "how many shapes in [total|all|the picture|this picture|it]?",
    "[is there one shape or more|are there one, two, three or four shapes]?",
    "how many different [shapes|objects|figures] [are there|do you see|can you count]?",
    "what number of shapes [is shown|do you see|is in the picture|does the picture have]?",
    "and how many [shapes|shapes are there|are there in all]?",
)
COUNT_SOME = (
    "how many {things}[ are there| are in the picture| do you see| can you see| are shown|||]?",
    "count the {things}[ in the picture|].",
    "[what is|tell me|give me] the number of {things}?",
    "number of {things}?",
    "[tell me|say] how many {things} [there are|you see].",
    "how many of the shapes are {things}?",
    "[can|could] you count the {things}?",
)
COUNT_COLOUR = (
    "how many [shapes|things|objects|of them|of the shapes|figures] are {colour}?",
    "how many {colour} [shapes|things|objects|ones|figures][ are there| are in the picture| do you see|||]?",
    "count the {colour} [shapes|things|objects|ones].",
    "number of {colour} shapes?",
    "how many shapes [have|are in] the colour {colour}?",
)
IS_THERE = (
    "is there {a_thing}[ in the picture| in this picture| here| in it| anywhere||||]?",
    "[do|can] you see {a_thing}[ in the picture| in this picture| here| anywhere|||]?",
    "does [the|this] picture [have|contain|show|include] {a_thing}?",
    "does it [have|contain|show|include] {a_thing}?",
    "[any|a] {thing}[ in the picture| here| there|]?",
    "is [a|any] {thing} [in the picture|there|present|visible|shown|here|to be seen]?",
    "are there any {things}[ in the picture| here|]?",
    "[can|could] you [tell me|say|check] [if|whether] there is {a_thing}[ in the picture|]?",
    "[tell me|say|check|i want to know] [if|whether] there is {a_thing}[ in the picture| here|].",
    "[is|does] the picture [showing|have] {a_thing}?",
    "there is {a_thing}, [right|is there not|yes or no|correct]?",
    "{a_thing}[, yes or no| - yes or no| there||]?",
    "do you [spot|notice|find] {a_thing}[ in the picture| anywhere|]?",
    "can {a_thing} be seen[ in the picture| here|]?",
    "is {a_thing} among the shapes?",
    "is one of the shapes {a_thing}?",
    "has the picture [got |]{a_thing}?",
    "can you find {a_thing}[ in the picture| here|]?",
    "yes or no: is there {a_thing}[ in the picture|]?",
)
IS_ANY_COLOUR = (
    "is [anything|something] {colour}[ in the picture| here||]?",
    "is there [anything|something] {colour}[ in the picture| here||]?",
    "is there a {colour} [shape|thing|object|one|figure][ in the picture|]?",
    "[are any|is any|is one] of the shapes {colour}?",
    "do you see [anything|something] {colour}?",
    "any {colour} [shape|shapes|objects|things|figures]?",
    "does the picture [have|contain|show] [anything|something] {colour}?",
    "is the colour {colour} [in the picture|there|used for a shape|among the shapes]?",
    "are there [any |]{colour} [shapes|things|objects|figures][ in the picture|]?",
    "can you see a {colour} [shape|thing|object|figure]?",
)
IS_KIND_COLOUR = (
    "is the {kind} {colour}[ in the picture|||]?",
    "is the {kind} [a {colour} one|in {colour}|coloured {colour}|painted {colour}]?",
    "the {kind} is {colour}, [right|is it not|correct|yes or no|true or false]?",
    "is {colour} the colour of the {kind}?",
    "is the colour of the {kind} {colour}?",
    "does the {kind} have the colour {colour}?",
    "would you say the {kind} is {colour}?",
    "[tell me|say|check] [if|whether] the {kind} is {colour}.",
    "is it true that the {kind} is {colour}?",
)
IS_COLOUR_KIND = (
    "is the {colour} [shape|one|thing|object|figure] {a_kind}?",
    "is {a_kind} what is {colour}?",
    "is the shape that is {colour} {a_kind}?",
    "the {colour} [shape|one|thing] is {a_kind}, [right|correct|yes or no]?",
    "is it {a_kind} that is {colour}?",
)
WHERE = (
    "where is the {thing}[ in the picture| in this picture| placed| located| drawn||||]?",
    "where [do|can] you see the {thing}?",
    "where in the picture is the {thing}?",
    "[in which|in what|which] [quadrant|corner|part|quarter|place|area] [of the picture |]is the {thing}[ in|]?",
    "[what is|tell me|give me|name|say] the [position|place|location] of the {thing}?",
    "[the |]{thing} [is where|position|location]?",
    "[can|could] you [tell me|say|see] where the {thing} is?",
    "[tell me|say|i want to know|do you know|show me|find out] where the {thing} is[ in the picture|].",
    "[find|locate] the {thing}[ in the picture| for me|].",
    "position of the {thing}?",
    "where would i find the {thing}?",
    "where can i find the {thing}?",
    "where does the {thing} [sit|stand|lie|appear]?",
    "is the {thing} at the top or [at the |]bottom, left or right?",
    "is the {thing} on the left or [on the |]right[, top or bottom|]?",
    "[which|what] side is the {thing} on?",
    "{thing}: where?",
    "where {thing}?",
    "at [which|what] [place|position] is the {thing}[ drawn| shown|]?",
)
BACKGROUND = (
    "what is the background[ colour| like| of the picture| of this picture||||]?",
    "[what|which] colour is the background[ of the picture| in the picture| here||||]?",
    "[what is|tell me|name|give me] the [background colour|colour of the background|background]?",
    "[background|background colour|the background|colour of the background|and the background|and what is the background|bg colour]?",
    "what colour is [behind|around] the shapes?",
    "[what|which] [background|backdrop] does the picture have?",
    "what does the background look like?",
    "describe the background.",
    "on what [background|colour|kind of background] are the shapes[ drawn||]?",
    "[what|which] colour [has|does] the background[ have|]?",
    "[tell me|say|i want to know] [what|which] colour the background [is|has].",
    "[can|could] you [tell me|say|see] [what colour the background is|the background colour|the colour of the background]?",
    "what is the [backdrop|colour behind the shapes|ground colour|colour of the backdrop]?",
    "the background is [what|which] colour?",
    "how is the background coloured?",
    "what is behind [the shapes|the shape|them]?",
)
IS_BACKGROUND = (
    "is the background {background}?",
    "is the background [colour |of the picture ||]{background}?",
    "the background is {background}, [right|correct|yes or no|is it not]?",
    "does the picture have a {background} background?",
    "is it {a_background} background?",
    "is {background} the [background colour|colour of the background]?",
)
AT_PLACE = (
    "what is [in|at] the {place}[ of the picture|||]?",
    "[what|which] shape is [in|at] the {place}[ of the picture||]?",
    "what [do|can] you see in the {place}?",
    "what is [there |]in the {place} [quadrant|part|quarter|area]?",
    "[what is|tell me what is] [shown|drawn|placed|located|sitting] in the {place}?",
    "the {place} [has|contains|shows] what?",
    "[the |]{place}?",
    "and [in |]the {place}?",
    "describe the {place}[ of the picture|].",
    "[tell me|say] what is in the {place}.",
    "which [object|figure|thing] is in the {place}?",
    "what does the {place} [show|contain|hold]?",
)
IS_AT_PLACE = (
    "is there [anything|something|a shape|any shape|an object] in the {place}[ of the picture||]?",
    "is the {place} [empty|free|blank|occupied]?",
    "do you see [anything|something|a shape] in the {place}?",
    "is [anything|something|a shape] [drawn |shown |placed ||]in the {place}?",
    "anything in the {place}?",
)
COLOUR_AT_PLACE = (
    "[what|which] colour is the [shape|one|thing|object|figure] [in|at] the {place}?",
    "[what is|tell me|name] the colour of the [shape|thing|object] in the {place}?",
    "colour of the [shape|one] in the {place}?",
    "[what|which] colour is in the {place}?",
    "[what|which] colour does the [shape|figure|object] in the {place} have?",
)
COLOURS = (
    "[what|which] colours [do you see|are there|can you see|are in the picture]?",
    "[what|which] colours [are used|are the shapes|do the shapes have|does the picture have]?",
    "[name|list|tell me] [the|all the|all] colours[ of the shapes| in the picture| you see||].",
    "[what are|tell me] the colours[ of the shapes| in the picture||]?",
    "colours[ of the shapes| in the picture|]?",
    "[in |][what|which] colours are the shapes[ drawn|]?",
)
KINDS = (
    "[what|which] [shapes|kinds of shapes|figures|forms|objects] [do you see|are there|can you see]?",
    "[what|which] [shapes|kinds of shapes|figures|forms|objects] [are in the picture|are shown|does the picture have]?",
    "[name|list|tell me] [the|all the|all] [shapes|figures][ in the picture| you see||].",
    "what are the shapes[ in the picture|]?",
    "which shapes?",
    "what kinds of [shapes|figures] [do you see|are there|are these]?",
    "[what|which] shapes [does it have|are drawn|can be seen|are these]?",
)
# The next four fit a picture of one shape only.
ITS_COLOUR = (
    "[what|which] colour is [it|the shape|this|the object|the figure|the thing|this shape]?",
    "[what is|tell me|name] the colour of [it|the shape|the object|the figure|this shape]?",
    "[its colour|colour|what colour|which colour|the colour|shape colour]?",
    "[what|which] colour does [it|the shape|the figure] have?",
    "[can|could] you [tell me|say] [what|which] colour [it|the shape] [is|has]?",
)
ITS_KIND = (
    "[what|which] shape [is it|is this|is shown|is there|do you see|is in the picture|is that|can you see|does it have]?",
    "what [is the shape|is this shape|kind of shape is it|kind of shape is this|shape is drawn|figure is this|figure is it]?",
    "[its shape|what shape|which shape|the shape|shape]?",
    "[name|identify|tell me] the [shape|figure][ in the picture|].",
    "[is it a|is this a] circle, [a square|a star|a triangle] or [something else|what]?",
)
ITS_PLACE = (
    "where is [it|the shape|the object|the figure|the thing|this shape]?",
    "where in the picture is [it|the shape|the object]?",
    "[in which|in what] [quadrant|corner|part] is [it|the shape|the object]?",
    "[its position|its place|position|location|where|what is its position|what is its location]?",
    "[what is|tell me] the [position|place|location] of the [shape|object|figure]?",
)
IS_AT = (
    "is the {thing} [in|at] the {place}[ of the picture|]?",
    "is the {thing} [placed|located|drawn|sitting|shown] in the {place}?",
    "the {thing} is in the {place}, [right|correct|yes or no|is it not]?",
    "[tell me|say|check] [if|whether] the {thing} is in the {place}.",
    "do you see the {thing} in the {place}?",
)
ARE_THERE_NUMBER = (
    "are there [exactly |]{number} shapes[ in the picture||]?",
    "[do you see|can you see] [exactly |]{number} shapes?",
    "does the picture have [exactly |]{number} shapes?",
    "is it true that there are {number} shapes?",
)
COLOUR_COUNT = (
    "how many [different |]colours [are there|do the shapes have|do you see|are used]?",
    "count the colours[ of the shapes|].",
    "number of colours?",
)
MORE_THAN = (
    "are there [more than|over] {number} shapes[ in the picture||]?",
    "[do you see|can you see] more than {number} shapes?",
    "does the picture have more than {number} shapes?",
)
# Follow-ups that take their question from the turn before.
AND_THE = (
    "and [what about |how about ||]the {thing}?",
    "[what|how] about the {thing}?",
    "the {thing}?",
    "and the {thing}[ then|]?",
    "same question for the {thing}.",
)
