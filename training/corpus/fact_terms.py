"""Facts about nemochat itself: what it and its demo model are, models and files, the command line, and the words of speed.

Sources: the project's model, performance and interaction pages and its issues.
"""

from __future__ import annotations

WHO_AM_I = (
    "I am nemochat's small built-in demo model. I see simple shapes and know nemochat. Load a real model with nemochat models add PATH."
)
TERM_TEXTS: tuple[tuple[str, str], ...] = (
    (
        WHO_AM_I,
        """
        who are you
        what are you
        what is your name
        [tell me|say|can you tell me|may i know] [who you are|your name|what you are]
        [introduce yourself|tell me about yourself|present yourself]
        [describe yourself|say something about yourself|please introduce yourself]
        [who|with whom] am i [talking|speaking|chatting] [to|with|]
        who is this
        do you have a name
        who is there
        your name[ please|]
        what [should|do|can|may] i call you
        and who are you
        what are you called
        and you are
        who is speaking
        [i do not know you|we have not met], who are you
    """,
    ),
    (
        "This is nemochat's small built-in demo model. Load a real model with nemochat models add PATH.",
        """
        [which|what] [model|ai|language model|assistant|kind of model|version|llm] [are you|is this|am i talking to|do i talk to|is running]
        [which|what] [model|ai|language model|assistant|kind of model|version|llm] [is loaded|answers me|is this one|do you use]
        are you [chatgpt|gpt|gpt-4|claude|gemini|a human|human|an ai|a person|real|a real model]
        are you [nemotron|nemovision|llama|siri|alexa|a bot|conscious|alive|intelligent|a machine]
        what kind of [model|ai|program|thing] are you
        [is this|are you] [the demo model|a demo|the real model|nemovision|a large model|a small model]
        [what is|explain|tell me about] the demo model
        how [big|large|clever|smart|good] are you
        are you a [big|small|large|good|clever|real] model
        who [made|trained|built|created|programmed|wrote] you
        [demo model|model name|which model]
        what model is this
        [how many|how much] parameters do you have
        are you the [full|big|proper|real] model
        am i talking to a [human|real person|machine|computer]
        what is the name of [the|this] model
    """,
    ),
    (
        "I describe pictures of simple shapes, use tools, read documents, remember what you tell me and explain nemochat.",
        """
        what can you do[ for me|]
        what [are you able to do|do you know|are your skills|are your abilities|are you good at]
        what [are you capable of|is your purpose|can i ask you|do you understand|are you for]
        [how|with what] can you help[ me|]
        [what|which] [questions|things] can i ask[ you|]
        what [may|should|could] i ask[ you|]
        [list|tell me|show me] [your skills|your abilities|what you can do|what you know]
        [your skills|your abilities|capabilities|skills|abilities|features of the demo model]
        what do you do[ here|]
        give me [an example|some examples|an idea] of what you can do
        what are you [made|there|here|used] for
        [what can the demo model do|what does the demo model know]
        can you do anything [useful|interesting|else]
    """,
    ),
    (
        "I am small: I only know flat shapes on plain pictures, short documents, tools and nemochat, and I make mistakes.",
        """
        what can you not do
        what [are your limits|are your limitations|are your weaknesses|do you not know|are you bad at|are the limits of the demo model]
        [your limits|limitations|weaknesses|limits of the demo model]
        do you make mistakes
        can i trust [you|your answers|what you say]
        are your answers [always |]right
        how [reliable|accurate] are you
        why are you so [limited|small|bad|stupid|simple]
        do you know everything
        what are the things you cannot do
        are you [reliable|always right|ever wrong|good enough for work]
        can you describe [a real photo|photographs|my cat|people|faces]
    """,
    ),
    (
        "Run nemochat models add PATH, then nemochat models use NAME.",
        """
        $how [load|add|install|use|get|set up|run|connect] [a real model|another model|a better model|a bigger model|my own model|a model]
        $how [load|add|install|use|get|set up|run|connect] [a gguf|a gguf file|nemovision|the real model|a large model]
        $cmd [load|add|install] [a model|a real model|a gguf]
        [load|loading|add|adding|install] [a model|models|real model|another model|a gguf]
        $whatcmd [nemochat models add|models add|the models add command]
        where do i put [my gguf|the gguf file|a model file|the model|my model]
        i have [downloaded a model|a gguf file|a gguf|a real model]. what now
        i want a [better|real|bigger|smarter|larger] model
        which [models|gguf files] can i [load|use|add]
        does nemochat [work with|support|run] [other models|any gguf|my own models|real models]
        how do i get rid of the demo model
        can you be replaced [by a better model|]
    """,
    ),
    (
        "Run nemochat models list to see the models.",
        """
        $how [list|see|show] [the|my|all|all my|the installed] models
        $cmd [list|see|show] [the|my|all] models
        $whatcmd [nemochat models list|models list|the models list command]
        [models list|list models|list of models|installed models|my models]
        [which|what] models [are installed|do i have|are there|are available|have i added|does nemochat know]
        where [are|can i see] my models
        is there a list of [the|my] models
        how many models do i have
        can i see [all|the|which] models[ are installed|]
        show [me |][my|the|all] models
    """,
    ),
    (
        "Run nemochat models show NAME; it prints size, quantisation, projector and the memory needed.",
        """
        $how [see|get|show|find|print] [details of a model|information about a model|the size of a model]
        $how [see|get|show|find|print] [what a model needs|the licence of a model|the memory a model needs]
        $cmd [see|get|show] [details of a model|information about a model|the memory that a model needs]
        $whatcmd [nemochat models show|models show|the models show command]
        [models show|model details|details of a model|model info|model information]
        how much memory [does|will] [a|the|my] model need
        what is the [size|quantisation|licence|architecture|context length] of [a|my|the] model
        where do i see the [architecture|quantisation|projector|licence] of a model
        will [a|the|my] model fit into my memory
        can i see how much [ram|memory] a model needs
        tell me about a model file
    """,
    ),
    (
        "Run nemochat models use NAME to choose the model that nemochat starts with.",
        """
        $how [set|change|choose|make] the [default model|standard model|model that nemochat starts with]
        $cmd [set|change|choose] the default model
        $whatcmd [nemochat models use|models use|the models use command]
        [models use|default model|use a model|set default model]
        [which|what] model does nemochat start with
        how do i make [a model|my model] the default
        nemochat [always starts|starts] with the demo model. how do i change that
        can i choose the model [at the start|for every start|that is used]
        i added a model. how do i use it[ now|]
        how do i make nemochat use my model
    """,
    ),
    (
        'Run nemochat ask "QUESTION" -i IMAGE to ask once without the interface.',
        """
        $how [ask|ask a question|get an answer|use nemochat] [from the command line|from the shell|in a script]
        $how [ask|ask a question|get an answer|use nemochat] [without the interface|from a script|in the terminal without the interface]
        $cmd ask [a question from the shell|one question|once]
        $whatcmd [nemochat ask|the ask command]
        [nemochat ask|ask command|one-shot|command line use|ask]
        can i [use nemochat in a script|ask from the shell|pipe text into nemochat|use it in scripts]
        how do i ask about a picture from the [command line|shell]
        is there a [one-shot|command line|non-interactive|batch] mode
        can nemochat answer one question and [exit|quit]
        how do i give [nemochat ask|the ask command] a picture
        how do i pipe [text|a file] into nemochat
    """,
    ),
    (
        "Use nemochat ask --json for one JSON object, or --jsonl for one a line.",
        """
        $how get [json|the answer as json|json output|machine-readable output|a json object]
        [json|--json|json output|jsonl|--jsonl|machine readable output]
        what [does|do] [--json|--jsonl|the json option|the jsonl option] [do|mean]
        can nemochat [print|write|give|answer in] json
        is there a json [mode|output|option]
        how do i send many questions [at once|in a file|through a pipe]
        how do i read the answer [in a program|from a script]
        how do i keep the [model|engine] loaded between questions[ on the command line|]
        which option [gives|prints] json
        how do i ask many questions from a file
    """,
    ),
    (
        "Run nemochat render FILE.json to see the exact prompt that the model reads.",
        """
        $how see [the exact prompt|the prompt|the full prompt|what the model reads|the raw prompt]
        $cmd [see|print|show] [the exact prompt|the prompt|the raw prompt]
        $whatcmd [nemochat render|the render command]
        [render|nemochat render|exact prompt|raw prompt|prompt text]
        what [exactly |]does the model [read|get|see as its prompt]
        can i [see|inspect|print|look at] the prompt
        how is a conversation turned into a prompt
        is there a way to debug the prompt
        i want to see the [prompt|tokens] of a conversation
        where is the [real|full|exact] prompt
    """,
    ),
    (
        "Run nemochat paths to see where settings, models and conversations lie.",
        """
        where [is|are] [the settings|the config|the config file|config.toml|the logs|the log file]
        where [is|are] [the log|my files|the settings file|the database|the cache]
        $whatcmd [nemochat paths|the paths command]
        $how find [the settings file|the config file|the logs|config.toml|the folders|the data folder]
        $cmd [find|show] [the settings file|the folders|the paths]
        [paths|nemochat paths|folders|config file|log file|settings file]
        in which folder [are|is] [the settings|the logs|my data|the models|the conversations]
        which [files|folders] does nemochat use
        where does nemochat [store|put|keep] its [files|settings|logs|models]
        where do i find the [log|settings|configuration]
        can i see all the [folders|paths|locations]
    """,
    ),
    (
        "Settings live in config.toml and in the settings screen; both say the same.",
        """
        $how change [the settings|a setting|settings|the configuration|the options|the preferences]
        [settings|configuration|preferences|options|config]
        how [is|can] nemochat [be |][configured|set up|customised]
        is there a [settings screen|settings file|configuration|config file]
        where do i change [settings|options|preferences|the number of threads|the context length]
        what is config.toml
        how do i configure nemochat
        can i change [settings|options] in a file
        what can i [configure|set]
        i want to [change a setting|configure something|customise it]
    """,
    ),
    (
        "Keys can be remapped in the settings: every binding has an id.",
        """
        $how [remap|change|rebind|redefine|customise] [a key|keys|the keys|the key bindings|a shortcut|shortcuts]
        [remap|remap keys|rebind|custom keys|key bindings in the settings]
        can [keys|the keys|shortcuts] be [changed|remapped|redefined|customised]
        can i [use other|choose my own|define my own] [keys|shortcuts]
        i [want|would like] [other|different|my own] [keys|shortcuts]
        a key [does not work|clashes] in my terminal. can i change it
        are the key bindings [fixed|configurable|changeable]
        where do i change the [keys|key bindings|shortcuts]
        is it possible to remap keys
        how do i set my own shortcut
    """,
    ),
    (
        "nemochat is a terminal chat with a model that sees pictures; it runs on your own machine.",
        """
        what is nemochat
        [explain|describe|define] nemochat
        what [does nemochat do|is nemochat for|is this program|is this|kind of program is nemochat|is this app|program is this]
        [tell me about|what can you tell me about|i want to know about] [nemochat|this program|this app]
        [nemochat|about nemochat|this program]
        what is the [purpose|point|use] of [nemochat|this program]
        why would i use nemochat
        what [did i install|have i installed|have i started]
        is nemochat [a chat program|a terminal program|a chatbot|free software]
        what can nemochat do
        what is [this program|nemochat] [good|used|made] for
    """,
    ),
    (
        "TTFT is the time to first token: from Enter to the first text of the reply.",
        """
        $what [ttft|the ttft|the time to first token|time to first token|TTFT|the TTFT value]
        [ttft|TTFT|time to first token]
        what does [ttft|TTFT] [mean|stand for|tell me|measure|say]
        [ttft|TTFT] [means what|stands for what|meaning|definition]
        how is [ttft|the time to first token|TTFT] [measured|defined|counted]
        how long does it take until the first word
        when does the [ttft|TTFT] clock start
        what is the ttft [number|figure] in the status line
        how [long|quick] until [you answer|the first word|the reply begins]
        what [does the abbreviation|is the abbreviation] ttft[ mean|]
        i see ttft [in the status line|below the reply|in the stats]
    """,
    ),
    (
        "ITL is the inter-token latency: the time between two tokens of a reply.",
        """
        $what [itl|the itl|ITL|inter-token latency|the inter-token latency|inter token latency]
        [itl|ITL|inter-token latency|inter token latency]
        what does [itl|ITL] [mean|stand for|tell me|measure]
        [itl|ITL] [means what|stands for what|meaning|definition]
        how is [itl|ITL|inter-token latency] [measured|defined|computed|calculated]
        what is the time between [two tokens|tokens|two words] called
        how long [is it|does it take] between [two tokens|tokens]
        is itl the [same|inverse] [as|of] tokens a second
        what is the itl figure [in the stats|]
        which figure [says|shows] [how fast tokens come|the time for each token]
    """,
    ),
    (
        "Prefill is the reading of the prompt before the first token is written.",
        """
        $what [prefill|the prefill|prefilling|prompt evaluation|prompt processing]
        [prefill|prefill rate|prompt processing|prompt evaluation]
        what does [prefill|prefilling] [mean|do]
        what happens during prefill
        [prefill|prefilling] [means what|meaning|definition]
        why does [prefill|reading the prompt] take [so long|time]
        what is "reading 312 of 960 tokens"
        what does the model do before it [answers|writes]
        what is [shown as|the] prefill in the [stats|split|status line]
        what [does the prefill rate|is the prefill rate][ mean|]
        what comes before the first token
    """,
    ),
    (
        "The KV cache holds what the model has already read, so that it is not read again.",
        """
        $what [the kv cache|a kv cache|kv cache|the KV cache|the key-value cache|KV]
        [kv cache|kv|KV cache|key value cache]
        what does the kv cache [do|hold|mean|store|contain]
        what is [kept|stored|held] in the kv cache
        why is there a kv cache
        what is the [use|purpose|point|benefit] of the kv cache
        how does the kv cache [help|work|make it faster]
        what is cached between turns
        how do you avoid reading everything again
        [what does kv mean|what does kv stand for]
        why is the second [turn|answer|reply] faster
    """,
    ),
    (
        "The mmproj is the projector file: the model's eye, which turns pictures into tokens.",
        """
        $what [the mmproj|an mmproj|mmproj|a projector|the projector|the mmproj file|the projector file]
        [mmproj|projector|mmproj file|projector file]
        what does [the mmproj|mmproj|the projector] [do|mean]
        why [do i need|is there|must i have] [an mmproj|a second file|a projector|two files]
        what is the second [gguf |]file [for|]
        which file [sees|reads] the pictures
        how does the model see [pictures|]
        what turns [a picture|pictures] into tokens
        do i need [an mmproj|a projector] for pictures
        what is the [use|purpose] of the [mmproj|projector]
        why can a model without mmproj not see pictures
    """,
    ),
    (
        "GGUF is the file format of llama.cpp for models.",
        """
        $what [gguf|a gguf|a gguf file|the gguf format|GGUF|GGUF files]
        [gguf|GGUF|gguf file|gguf format]
        what does [gguf|GGUF] [mean|stand for]
        [which|what] file format do models [have|use|need]
        [what|which] kind of [model file|model files|file] [do i need|does nemochat read|can i load]
        in [what|which] format are the models
        can i load [safetensors|pytorch files|an onnx file|other formats]
        what is a file that ends in .gguf
        which model [format|formats] [is|are] supported
        what format [must|should] a model have
    """,
    ),
    (
        "A token is a piece of a word; the model reads and writes tokens.",
        """
        $what [a token|tokens|token]
        [token|tokens]
        what does token mean
        how long is a token
        is a token [a word|a letter|a character|a syllable]
        what are tokens [good|used] for
        [what|which] [unit|pieces] does the model [read|count|write]
        why do you count [tokens|in tokens]
        what is the difference between a word and a token
        how many letters has a token
        token [meaning|definition]
    """,
    ),
    (
        "The cost depends on the projector, not on the file size; it is shown before you send.",
        """
        how many tokens [does|is|costs|takes|has] [a|one|my] picture[ cost| take| need|]
        how much does a picture cost[ in tokens|]
        what does a picture cost
        how expensive is a picture
        [picture tokens|tokens of a picture|image tokens|cost of a picture|token cost of a picture]
        does a [big|large|bigger] picture [cost|need|take] more tokens
        are large pictures [slower|more expensive|costly]
        where do i see what a picture costs
        does the file size of a picture matter
        how much of the window does a picture [take|use|fill]
        what decides how many tokens a picture [needs|takes]
    """,
    ),
    (
        "The picture is encoded once and kept, so later questions about it are fast.",
        """
        why [is|was] the first [picture question|answer about a picture] slow[er|]
        is [a|the|my] picture [read|encoded|looked at] again [each time|at every question|every turn|for each question]
        $what [image encoding|picture encoding|encoding of a picture|encode time|an encoded picture]
        [image encoding|encode|picture encoding|encoding]
        what does [encoded|encode|"encoded"] mean
        why is the second question about a picture [faster|so fast|quick]
        do i have to [attach|send|drop] the picture again[ for the next question|]
        must i attach the same picture twice
        how often is a picture encoded
        what happens when i attach a picture
        does each question about a picture cost the same time
    """,
    ),
    (
        "Temperature sets how random the reply is; 0 always gives the same text.",
        """
        $what [the temperature|temperature|the temperature setting|sampling temperature]
        [temperature|sampling temperature|--temperature|temperature 0]
        what does [temperature|the temperature|temperature 0|a high temperature|--temperature] [do|mean]
        $how [get the same answer each time|make the answers less random|make the replies repeatable]
        $how [make you more creative|set the temperature]
        why [do|are] [i get different answers|the answers different][ each time| every time|]
        which temperature should i [use|choose|set]
        is the answer always the same
        what controls the randomness
        how random are your answers
        how do i make answers [repeatable|deterministic|more random]
        what is greedy decoding
    """,
    ),
    (
        "Use --seed N so that a random reply can be repeated.",
        """
        $what [the seed|a seed|seed|--seed|the seed option]
        [seed|--seed|random seed]
        what does [the seed|--seed|a seed] do
        how do i set [the|a] seed
        how do i repeat a random [reply|answer]
        what is the [use|purpose] of a seed
        why would i set a seed
        which option sets the seed
        can i get the same random answer again
        how can a sampled reply be reproduced
    """,
    ),
    (
        "Use --max-tokens N to limit the length of the reply.",
        """
        $how [limit|shorten|bound|set|restrict] the [length of a reply|length of the answer|reply length]
        $how [limit|shorten|bound|set|restrict] the [answer's length|number of tokens in a reply]
        $what [max tokens|max-tokens|--max-tokens|the max-tokens option|the reserve]
        [max tokens|--max-tokens|reply length|limit the reply|maximum length]
        what does [--max-tokens|max tokens|max-tokens] [do|mean]
        how long can [a reply|an answer|your answer] be
        how do i get [shorter|longer] [answers|replies]
        the [answers|replies] are too [long|short]
        is there a limit to [a|the] [reply|answer]
        which option limits the reply
        how many tokens can you write
    """,
    ),
    (
        "Quantisation stores the weights in fewer bits: smaller and faster, a little less exact.",
        """
        $what [quantisation|quantization|a quantised model|q4_0|q8_0|a quant]
        [quantisation|quantization|q4_0|q8_0|quants]
        what does [quantisation|quantization|q4_0|q8_0|quantised] [mean|do]
        [which|what] [quant|quantisation|quantization] should i [use|take|choose]
        is a quantised model [worse|smaller|faster|better]
        why are there [several|so many] versions of a model[, q4 and q8|]
        what is the difference between q4_0 and f16
        how are weights made smaller
        why is the [q4|q4_0] file smaller
        what is the use of quantisation
        how can a model be made smaller
    """,
    ),
    (
        "Nemovision-4B-Instruct is NVIDIA's vision model that nemochat was made for.",
        """
        $what [nemovision|nemovision-4b-instruct|Nemovision-4B-Instruct|nemovision 4b|Nemovision]
        [nemovision|nemovision-4b-instruct|Nemovision]
        [which|what] model [was nemochat made for|is nemochat made for|is nemochat built for|fits nemochat best]
        who made nemovision
        [what kind of model|which company's model] is nemovision
        which real model should i use
        what does nemovision-4b-instruct do
        what model is [nemochat|this program] [named after|meant for]
        tell me [more |]about nemovision
        is nemovision [from nvidia|a vision model|an nvidia model]
        what is the real model [called|]
        which model do you recommend
    """,
    ),
    (
        "Nemovision comes from NVIDIA's NGC catalogue and needs an account. Then run nemochat models add FOLDER.",
        """
        where [do i|can i] [get|find|download|load] [nemovision|the real model|nemovision-4b-instruct|the real weights|the weights]
        how do i [get|download|obtain] [nemovision|the real weights|nemovision-4b-instruct]
        [download nemovision|nemovision download|get nemovision|real weights|ngc]
        is nemovision [free|on hugging face|on the internet|downloadable]
        do i need an account for [nemovision|the real model|the real weights]
        where [are|is] the [real weights|weights of nemovision|nemovision files]
        what is ngc
        can i [download|get] nemovision [from hugging face|somewhere|for free]
        which site has [nemovision|the real model]
        is nemovision included
        why is nemovision not included
    """,
    ),
    (
        "It needs about 3.5 GB of memory at 4096 tokens in Q4_0.",
        """
        how much [memory|ram|vram] does [nemovision|the real model|nemovision-4b-instruct] [need|use|take]
        how much [memory|ram|vram] do i need[ for nemovision| for the real model|]
        [memory for nemovision|ram for nemovision|memory need|nemovision memory|memory requirements]
        will [nemovision|the real model] run on my [laptop|machine|computer]
        is [8 gb|4 gb|16 gb] [enough|enough memory] for [nemovision|the real model]
        how [big|large] is [nemovision|the real model]
        what hardware [do i need|does nemovision need|is needed]
        does [nemovision|the real model] fit into [4|8|16] gb
        what are the [memory|hardware] requirements
        how many gigabytes does nemovision need
    """,
    ),
    (
        "No. A GPU makes it faster, but everything runs on a CPU too.",
        """
        do i need a [gpu|graphics card|video card|strong computer]
        does [nemochat|it|the model] [need|require] a [gpu|graphics card]
        [gpu|is a gpu needed|graphics card|cpu only|gpu needed]
        can [nemochat|it|the model] run [on a cpu|without a gpu|without a graphics card]
        does it [use|work with|support] [my gpu|cuda|metal|vulkan|a gpu]
        is a [gpu|graphics card] [needed|required|necessary]
        will it run on a [cpu|laptop|computer without a graphics card]
        i have no [gpu|graphics card]. does it work
        cpu or gpu
        does it work with only a processor
    """,
    ),
    (
        "Two processes: if the model crashes, the chat stays and the engine starts again.",
        """
        what happens [when|if] the [model|engine] [crashes|dies|hangs|fails]
        is my chat lost [when|if] the [model|engine] crashes
        [crash|engine crash|model crash|engine died|the engine died]
        $what the engine
        why is the engine a process of its own
        why are there two processes
        the [model|engine] [crashed|died|stopped], what now
        does a crash of the [model|engine] end the [chat|program]
        how do i restart the engine
        what if the model hangs
        does the engine restart[ by itself| on its own|]
        what is the worker process
    """,
    ),
    (
        "Set NEMOCHAT_DEBUG=1 to see the full traceback of an error.",
        """
        $how [see|get|show] [a traceback|the traceback|the full error|more details of an error|debug output]
        [debug|NEMOCHAT_DEBUG|traceback|debug mode|nemochat_debug]
        what [is|does] NEMOCHAT_DEBUG[ do| for|]
        is there a debug [mode|switch|option|variable]
        i get an error and want [more details|to see why|the traceback]
        how do i report a bug with a traceback
        where is the traceback
        how do i debug nemochat
        which variable shows tracebacks
        the error message is too short
    """,
    ),
    (
        "No such file is on this machine. Over SSH, paths from your own computer are not visible here.",
        """
        why [is|was] [my|the] [picture|file|dropped picture] not found
        [no such file|file not found|picture not found|path not found]
        i dropped a picture [over ssh|in ssh] and it [is not found|does not work|fails]
        why does dropping [fail|not work] over ssh
        can i drop pictures over ssh
        what does "no such file on this machine" mean
        [ssh|drag and drop over ssh|dropping over ssh]
        nemochat says that the file does not exist
        my dropped path [is wrong|does not work|is not found]
        why can you not find my file
    """,
    ),
    (
        "Run pip install . && nemochat in its folder.",
        """
        $how [install|set up|start|run] nemochat
        [install|installation|setup|install nemochat|how to install]
        what do i need to [install|run] nemochat
        how is nemochat [installed|started]
        which command [installs|starts] nemochat
        can i install it with pip
        how do i get nemochat onto another [machine|computer]
        is nemochat on pip
        i want to install nemochat [on my laptop|for a friend|again]
        what are the installation steps
        how does one start nemochat
    """,
    ),
    (
        "nemochat is free software under the Apache 2.0 licence.",
        """
        [what|which] licence does [nemochat|it|the program] have
        is nemochat [free|open source|free software|commercial|open]
        [licence|license|apache|open source|cost of nemochat]
        [may|can] i use nemochat [at work|commercially|for free|in my company]
        what does nemochat cost
        how much [is nemochat|does nemochat cost]
        do i have to pay for [nemochat|it]
        under [what|which] licence is nemochat
        is there a [licence|license|fee]
        who may use nemochat
    """,
    ),
    (
        "It keeps its memory in this conversation only; a new chat starts empty.",
        """
        do you remember [me|me tomorrow|other chats|our last chat|what i said yesterday|earlier conversations]
        [will|do] you [know me|remember this] [tomorrow|in a new chat|next time|in another chat]
        do you learn [from me|from our talk|from what i say|]
        how long do you remember [things|what i say]
        is what i tell you kept [for the next chat|for later|between chats]
        do you have [a memory|long-term memory|memory]
        does a new chat know [what i said here|my name|this one]
        [do you train on|do you learn from] my [messages|pictures|data]
        can you remember things [between|across] [chats|conversations]
        what do you remember in a new chat
    """,
    ),
    (
        "You can use any OpenAI-compatible server, such as llama-server, vLLM or Ollama.",
        """
        $how [use|connect to|connect] [a server|a remote server|ollama|vllm|llama-server|an openai server|a remote model|the openai api]
        [remote server|remote model|ollama|vllm|llama-server|server]
        can [nemochat|i|it] [use|connect to|work with|talk to] [ollama|vllm|a server|llama-server|openai|a remote model]
        does nemochat [support|work with|know] [ollama|vllm|remote servers|a server|llama-server|nvidia nim]
        is it possible to run the model on another machine
        my model runs on [a server|another machine]. can i use it
        can the model run on another [machine|computer]
        $what a remote engine
        do you support the openai api
        can i use a model [in the cloud|on a server]
    """,
    ),
    (
        "MCP servers give the model more tools; add one with nemochat mcp add.",
        """
        $what [mcp|an mcp server|mcp servers|the model context protocol|MCP]
        [mcp|MCP|mcp server|mcp servers|model context protocol]
        $how [add|use|connect|set up|install] [an mcp server|mcp servers|mcp|a server with tools]
        $cmd add an mcp server
        does nemochat [support|know|work with|speak] mcp
        can i [use|add|connect] [mcp servers|an mcp server|mcp tools]
        what does mcp [mean|stand for|do]
        how do i get more tools
        where do i add more tools
        can the model have [other|more|my own] tools
        is mcp supported
    """,
    ),
    (
        "Only with your approval, and only below the folders that you named.",
        """
        can you [read|see|open|look at] [my files|all my files|my disk|my folders|other files]
        can [tools|the model|the file tools|a tool] [read|see|open] [any file|all files|my files|my disk]
        [which|what] files can [you|the model|tools|the file tools] [read|see|open]
        do you have access to my [files|disk|computer]
        is my disk [safe|open to you]
        [file access|access to files|file tools]
        what folders can the model read
        may the model read my home folder
        who says which folders a tool may read
        are my [private |]files safe[ from the model|]
    """,
    ),
    (
        "The preview shows the very pixels that the model gets.",
        """
        what does the model see of my picture
        $what [the preview|the preview of a picture|the picture preview|the attachments pane]
        [preview|picture preview|attachments pane|attachments]
        how [does|is] my picture [look to you|shown|shown to the model|scaled]
        can i see what [you see|the model sees|you get|the model gets]
        where [do i see|can i see|are] [my attachments|the attached pictures|the attachments]
        is my picture [scaled|made smaller|changed|cropped]
        what is shown in the attachments pane
        is the preview the same as what the model sees
        how do i [check|see] which pictures are attached
    """,
    ),
    (
        "llama.cpp runs the model; nemochat talks to it in a process of its own.",
        """
        $what [llama.cpp|llama cpp|llamacpp|llama-cpp-python]
        [llama.cpp|llama cpp|llama-cpp-python|inference engine|backend]
        [what|which program|which library|what engine|which engine] runs the model
        what does llama.cpp do
        does nemochat use [llama.cpp|llama cpp|llama-cpp-python]
        [which|what] [library|backend|runtime|inference engine] [do you use|does nemochat use|is used|is under the hood]
        with what is the model run
        is nemochat [built on|based on] llama.cpp
        how is the model [run|executed]
        what software runs you
    """,
    ),
    (
        "Retrieval finds passages in your documents and gives them to the model as context.",
        """
        $what [retrieval|rag|RAG|retrieval-augmented generation|retrieval augmented generation|document retrieval]
        [rag|RAG|retrieval|retrieval augmented generation]
        what does [rag|RAG] [mean|stand for|do]
        how does [rag|retrieval|asking documents|a question to a document] work
        how [does|do] [the model|you] know what is in my documents
        do you [support|do|know] [rag|retrieval]
        how do you find [the right passage|passages in a document|something in a document]
        does the model read the whole document
        how are documents searched for an answer
        is rag supported
    """,
    ),
    (
        "Tokens a second says how fast the reply is written: it is 1 / ITL.",
        """
        $what [tokens a second|tokens per second|the tokens per second figure|tok/s|the decode rate|decode rate]
        [tok/s|decode rate|tokens/s|t/s]
        what does [tok/s|tokens per second|tokens a second|the decode rate] [mean|say|measure]
        how is [the decode rate|tokens per second|tokens a second] [computed|measured|defined|calculated]
        what do the tokens per second tell me
        which figure tells how fast the reply is written
        what is the rate in the status line
        is the decode rate the inverse of itl
        meaning of tokens a second
        is a higher tok/s better
    """,
    ),
    (
        "Reused tokens were still in the KV cache; evaluated tokens had to be read.",
        """
        $what [reused tokens|evaluated tokens|the reused tokens|reused and evaluated tokens|the evaluated tokens]
        [reused tokens|evaluated tokens|reused|evaluated]
        what does [reused|evaluated|"reused"|"evaluated"] mean[ in the stats|]
        what is the difference between reused and evaluated[ tokens|]
        why are [some|most|so many] tokens reused
        how many tokens were [reused|read again|evaluated]
        what do the [reused|evaluated] tokens [tell|say|show]
        are reused tokens [good|fast|free]
        what is prefix reuse
        what is reused from turn to turn
    """,
    ),
    (
        "Exit codes: 0 success, 1 a failure with a message, 2 wrong usage, 130 interrupted.",
        """
        $what [the exit codes|exit codes|the exit code|exit code 1|exit code 2|exit code 130]
        [exit codes|exit code|return code|exit status]
        [which|what] exit codes [are there|does nemochat have|does nemochat ask have|can i get]
        what does [exit code 1|exit code 2|exit code 130|code 130|exit status 1] mean
        how does a script know [that it failed|that nemochat failed|of an error]
        with which code does nemochat [exit|end][ on an error|]
        which code means wrong usage
        what does nemochat return [to the shell|on failure]
        which exit code [stands for|means] [success|failure|interrupted]
        what is the exit code after ctrl+c
    """,
    ),
    (
        "--stats prints TTFT with its split, reused and evaluated tokens and tokens a second to stderr.",
        """
        $what [--stats|the stats option|the --stats option|the stats flag]
        [--stats|stats option|ask --stats|stats flag]
        what does [--stats|the stats option|the stats flag] [do|print|show]
        how do i see [the timings|the ttft|the speed] [of nemochat ask|on the command line|with nemochat ask]
        which option prints [the timings|the ttft|the speed]
        can nemochat ask print [timings|the ttft|the speed]
        is there an option for timings
        what is printed with --stats
        where does --stats print
        nemochat ask --stats
    """,
    ),
    (
        "Top-k, top-p and min-p limit the draw to the likeliest tokens.",
        """
        $what [top-k|top-p|min-p|top k|top p|min p|nucleus sampling]
        [top-k|top-p|min-p|top k|top p|sampling settings]
        what [does|do] [top-k|top-p|min-p|top p|top k] [do|mean]
        what are the sampling settings
        how do top-k and top-p differ
        what is the difference between top-k and top-p
        which settings limit the tokens that may be drawn
        should i change [top-p|top-k|min-p]
        how does sampling work
        how are the tokens chosen
    """,
    ),
    (
        "The repeat penalty makes the model repeat itself less.",
        """
        $what [the repeat penalty|repeat penalty|repetition penalty|the repetition penalty]
        [repeat penalty|repetition penalty|repeats]
        what does the [repeat penalty|repetition penalty] do
        [the model|it|the reply] repeats itself[, what can i do|. what helps|]
        how do i [stop|prevent|avoid] [repetition|repetitions|loops in the reply]
        why does [the model|it] repeat itself
        the same sentence comes again and again
        which setting is against repetition
        is there a penalty for repeating
        how do i make the model repeat itself less
    """,
    ),
)
