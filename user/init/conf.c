/* Conf: a line at a time is cut into words, and the first word says who reads the others. */
#include "user/init/conf.h"

#include "ggmk/abi.h"
#include "user/lib/text.h"

#include <string.h>

#define WORDS_MAX (CONF_ARGS_MAX + 1)

/* The line that is being read. */
struct reader {
    struct conf *conf;
    struct conf_program *program; /* that the line belongs to; NULL: none yet, or a bad one */
    bool skip;                    /* the program's first line was bad */
    char *words[WORDS_MAX];
    unsigned count, line;
    conf_complain_fn complain;
    void *arg;
};

static void complain(struct reader *r, const char *word, const char *why) {
    r->conf->complaints++;
    r->complain(r->arg, r->line, word, why);
}

/* A number from 1 to `most`. */
static bool number(struct reader *r, const char *word, uint64_t most, uint64_t *value) {
    uint64_t n;
    if (!text_number(word, &n) || n == 0 || n > most) {
        complain(r, word, "has to be a number above 0 that makes sense here");
        return false;
    }
    *value = n;
    return true;
}

static bool good_name(struct reader *r, const char *name) {
    if (strlen(name) < CONF_NAME_MAX)
        return true;
    complain(r, name, "is too long for a name");
    return false;
}

/* ---- Words of their own ------------------------------------------------------------------------ */

static void read_program(struct reader *r) {
    struct conf *conf = r->conf;
    r->program = NULL;
    r->skip = true; /* until it is found good */
    if (!good_name(r, r->words[1]))
        return;
    if (conf_find(conf, r->words[1]) != NULL) {
        complain(r, r->words[1], "is a program already: this one is left out");
        return;
    }
    if (conf->program_count == CONF_PROGRAMS_MAX) {
        complain(r, r->words[1], "is one program too many");
        return;
    }
    r->skip = false;
    r->program = &conf->programs[conf->program_count++];
    *r->program = (struct conf_program){
        .name = r->words[1], .line = r->line, .restarts_max = CONF_RESTARTS, .waits = conf->waits};
}

static void read_object(struct reader *r) {
    struct conf *conf = r->conf;
    if (!good_name(r, r->words[1]))
        return;
    for (unsigned i = 0; i < conf->object_count; i++) {
        if (strcmp(conf->objects[i].name, r->words[1]) == 0) {
            complain(r, r->words[1], "exists already");
            return;
        }
    }
    if (conf->object_count == CONF_OBJECTS_MAX) {
        complain(r, r->words[1], "is one object too many");
        return;
    }
    conf->objects[conf->object_count++] = (struct conf_object){
        .name = r->words[1], .is_port = strcmp(r->words[0], "port") == 0, .line = r->line};
}

static void read_wait(struct reader *r) {
    r->program = NULL;
    r->skip = false;
    r->conf->waits = r->conf->program_count;
}

/* ---- Lines of a program --------------------------------------------------------------------------- */

static void read_run(struct reader *r) {
    memset(r->program->argv, 0, sizeof r->program->argv);
    memcpy(r->program->argv, r->words + 1, (r->count - 1) * sizeof r->words[0]);
}

/* "read+write" */
static bool rights(struct reader *r, const char *word, unsigned *rights) {
    static const struct {
        const char *name;
        unsigned right;
    } names[] = {{"read", GMK_RIGHT_READ},
                 {"write", GMK_RIGHT_WRITE},
                 {"grant", GMK_RIGHT_GRANT},
                 {"execute", GMK_RIGHT_EXECUTE},
                 {"manage", GMK_RIGHT_MANAGE}};
    *rights = 0;
    for (const char *at = word;; at++) {
        size_t length = 0;
        for (unsigned i = 0; i < sizeof names / sizeof names[0] && length == 0; i++) {
            size_t whole = strlen(names[i].name);
            if (text_begins(at, names[i].name) && (at[whole] == '\0' || at[whole] == '+')) {
                *rights |= names[i].right;
                length = whole;
            }
        }
        at += length;
        if (length == 0) {
            complain(r, word, "is not read, write, grant, execute, manage, or some with + between");
            return false;
        }
        if (*at == '\0')
            return true;
    }
}

/* give NAME [RIGHTS] [as NAME] */
static void read_give(struct reader *r) {
    struct conf_give give = {.name = r->words[1], .as = r->words[1], .line = r->line};
    unsigned at = 2;
    if (at < r->count && strcmp(r->words[at], "as") != 0) {
        if (!rights(r, r->words[at], &give.rights))
            return;
        at++;
    } else if (strcmp(give.name, "console") == 0) {
        give.rights = GMK_RIGHT_WRITE;
    } else if (strcmp(give.name, "initrd") == 0) {
        give.rights = GMK_RIGHT_READ;
    } else {
        complain(r, give.name, "is given with which rights?");
        return;
    }
    if (at + 2 == r->count && strcmp(r->words[at], "as") == 0) {
        give.as = r->words[at + 1];
    } else if (at != r->count) {
        complain(r, r->words[at], "is one word too many: give NAME RIGHTS as NAME");
        return;
    }
    if (r->program->give_count == CONF_GIVES_MAX)
        complain(r, give.name, "is one capability too many");
    else
        r->program->gives[r->program->give_count++] = give;
}

static void read_frames(struct reader *r) {
    (void)number(r, r->words[1], UINT32_MAX, &r->program->frames);
}

static void read_objects(struct reader *r) {
    (void)number(r, r->words[1], UINT32_MAX, &r->program->objects);
}

static void read_cpu(struct reader *r) {
    uint64_t value;
    if (number(r, r->words[1], 64000, &value))
        r->program->cpu_permille = (uint32_t)value;
}

static void read_priority(struct reader *r) {
    static const struct {
        const char *name;
        uint16_t priority;
    } classes[] = {{"idle", GMK_PRIORITY_IDLE},
                   {"low", GMK_PRIORITY_LOW},
                   {"normal", GMK_PRIORITY_NORMAL},
                   {"high", GMK_PRIORITY_HIGH},
                   {"realtime", GMK_PRIORITY_REALTIME}};
    uint64_t value = 0;
    for (unsigned i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (strcmp(r->words[1], classes[i].name) == 0)
            value = classes[i].priority;
    }
    if (value == 0 && !number(r, r->words[1], GMK_PRIORITY_MAX, &value))
        return;
    if (strcmp(r->words[0], "priority") == 0)
        r->program->priority = (uint16_t)value;
    else
        r->program->priority_max = (uint16_t)value;
}

static void read_fpu(struct reader *r) {
    r->program->fpu = true;
}

/* restart never|failed|always [TIMES] */
static void read_restart(struct reader *r) {
    static const char *const names[] = {"never", "failed", "always"};
    uint64_t times = CONF_RESTARTS;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(r->words[1], names[i]) != 0)
            continue;
        if (r->count > 2 && !number(r, r->words[2], UINT32_MAX, &times))
            return;
        r->program->restart = (uint8_t)i;
        r->program->restarts_max = (unsigned)times;
        return;
    }
    complain(r, r->words[1], "is not never, failed or always");
}

/* after NAME [started|ended] */
static void read_after(struct reader *r) {
    bool ended = r->count > 2 && strcmp(r->words[2], "ended") == 0;
    if (r->count > 2 && !ended && strcmp(r->words[2], "started") != 0) {
        complain(r, r->words[2], "is not started or ended");
        return;
    }
    r->program->after = r->words[1];
    r->program->after_end = ended;
}

/* ---- Lines ------------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    unsigned least, most; /* words behind it */
    bool of_program;
    void (*read)(struct reader *r);
} lines[] = {
    {"program", 1, 1, false, read_program},  {"port", 1, 1, false, read_object},
    {"notify", 1, 1, false, read_object},    {"run", 1, CONF_ARGS_MAX, true, read_run},
    {"give", 1, 4, true, read_give},         {"frames", 1, 1, true, read_frames},
    {"objects", 1, 1, true, read_objects},   {"cpu", 1, 1, true, read_cpu},
    {"priority", 1, 1, true, read_priority}, {"priority-max", 1, 1, true, read_priority},
    {"fpu", 0, 0, true, read_fpu},           {"restart", 1, 2, true, read_restart},
    {"after", 1, 2, true, read_after},       {"wait", 0, 0, false, read_wait},
};

static void read_words(struct reader *r) {
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (strcmp(r->words[0], lines[i].name) != 0)
            continue;
        if (r->count - 1 < lines[i].least)
            complain(r, r->words[0], "needs a word behind it");
        else if (r->count - 1 > lines[i].most)
            complain(r, r->words[lines[i].most + 1], "is one word too many");
        else if (!lines[i].of_program || r->program != NULL)
            lines[i].read(r);
        else if (!r->skip)
            complain(r, r->words[0], "belongs to a program: begin with `program NAME`");
        return;
    }
    complain(r, r->words[0], "is unknown");
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

/* Cuts a terminated line into words. False: there are too many, and that was told. */
static bool cut(struct reader *r, char *at) {
    r->count = 0;
    for (;;) {
        while (is_blank(*at))
            *at++ = '\0';
        if (*at == '\0' || *at == '#')
            return true;
        if (r->count == WORDS_MAX) {
            complain(r, at, "is one word too many");
            return false;
        }
        r->words[r->count++] = at;
        while (*at != '\0' && !is_blank(*at))
            at++;
    }
}

void conf_parse(struct conf *conf, char *text, size_t size, conf_complain_fn complain_fn,
                void *arg) {
    *conf = (struct conf){0};
    struct reader r = {.conf = conf, .complain = complain_fn, .arg = arg};
    text[size] = '\0';
    for (size_t at = 0; at < size;) {
        size_t end = at;
        while (end < size && text[end] != '\n' && text[end] != '\0')
            end++;
        text[end] = '\0';
        r.line++;
        if (cut(&r, text + at) && r.count > 0)
            read_words(&r);
        at = end + 1;
    }
    for (unsigned i = 0; i < conf->program_count; i++) {
        const struct conf_program *program = &conf->programs[i];
        r.line = program->line;
        if (program->argv[0] == NULL)
            complain(&r, program->name, "has no `run`: it will not be started");
        if (program->after != NULL && conf_find(conf, program->after) == NULL)
            complain(&r, program->after, "is no program to start after");
    }
}

const struct conf_program *conf_find(const struct conf *conf, const char *name) {
    for (unsigned i = 0; i < conf->program_count; i++) {
        if (strcmp(conf->programs[i].name, name) == 0)
            return &conf->programs[i];
    }
    return NULL;
}
