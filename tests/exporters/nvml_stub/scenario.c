/* The scenario: sections of key=value lines, read from $NVML_STUB_SCENARIO and again whenever the file changes.
 *
 *   [system]  [*] (every device)  [0] (device 0)  [0/1] (MIG slice 1 of device 0)
 *
 * Lookups are hashed, so that the stub's own work stays far below what a real driver costs.
 */
#define _POSIX_C_SOURCE 200809L
#include "stub.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

typedef struct { section_t section; char *key, *value; } entry_t;

enum { SLOTS = 1 << 13 }; /* a scenario of 16 devices has some 2,000 keys */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static entry_t table[SLOTS];
static char *text_of_file;
static char path_read[4096];
static struct stat stat_read;
static unsigned long serial;
static double epoch;

static uint32_t hash(section_t section, const char *key) {
    uint32_t found = 2166136261u ^ (uint32_t)(section.gpu * 31 + section.slice + 64);
    for (; *key; key++) found = (found ^ (unsigned char)*key) * 16777619u;
    return found;
}

static entry_t *slot(section_t section, const char *key) {
    for (uint32_t at = hash(section, key);; at++) {
        entry_t *entry = &table[at & (SLOTS - 1)];
        if (entry->key == NULL) return entry;
        if (entry->section.gpu == section.gpu && entry->section.slice == section.slice && !strcmp(entry->key, key))
            return entry;
    }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void die(const char *why, const char *what) {
    fprintf(stderr, "NVML stub: %s: %s\n", why, what);
    abort(); /* a test that reads a wrong scenario must not go on with no answers */
}

static section_t section_of(const char *name) {
    section_t section = {SYSTEM, WHOLE};
    if (!strcmp(name, "[system]")) return section;
    if (!strcmp(name, "[*]")) return (section_t){COMMON, WHOLE};
    if (sscanf(name, "[%d/%d]", &section.gpu, &section.slice) == 2) return section;
    section.slice = WHOLE;
    if (sscanf(name, "[%d]", &section.gpu) != 1) die("no section", name);
    return section;
}

static void parse(char *text) {
    section_t section = {SYSTEM, WHOLE};
    size_t used = 0;
    char *rest = text;
    for (char *line; (line = strtok_r(rest, "\n", &rest)) != NULL;) {
        if (*line == '#' || *line == '\0') continue;
        if (*line == '[') {
            section = section_of(line);
            *slot(section, "") = (entry_t){section, "", ""}; /* that it exists */
            continue;
        }
        char *value = strchr(line, '=');
        if (value == NULL) die("no key=value", line);
        *value++ = '\0';
        if (++used > SLOTS / 2) die("too many keys", line);
        *slot(section, line) = (entry_t){section, line, value};
    }
}

/* Read the file if it is another one than before; with the lock held. */
static void refresh(void) {
    const char *path = getenv("NVML_STUB_SCENARIO");
    struct stat found;
    if (path == NULL) die("set", "NVML_STUB_SCENARIO");
    if (stat(path, &found) != 0) die("cannot read", path);
    if (serial && !strcmp(path, path_read) && found.st_ino == stat_read.st_ino &&
        found.st_size == stat_read.st_size && found.st_mtim.tv_sec == stat_read.st_mtim.tv_sec &&
        found.st_mtim.tv_nsec == stat_read.st_mtim.tv_nsec)
        return;
    FILE *file = fopen(path, "r");
    if (file == NULL) die("cannot read", path);
    free(text_of_file);
    text_of_file = calloc(1, (size_t)found.st_size + 1);
    if (text_of_file == NULL || fread(text_of_file, 1, (size_t)found.st_size, file) != (size_t)found.st_size)
        die("cannot read", path);
    fclose(file);
    memset(table, 0, sizeof table);
    parse(text_of_file);
    snprintf(path_read, sizeof path_read, "%s", path);
    stat_read = found;
    serial++;
    const entry_t *start = slot((section_t){SYSTEM, WHOLE}, "epoch");
    epoch = start->key ? strtod(start->value, NULL) : now();
}

static const char *get(section_t section, const char *key) {
    const entry_t *entry = slot(section, key);
    return entry->key ? entry->value : NULL;
}

/* A device's own value, or that of every device; a MIG slice has only its own. NULL is the system. */
static const char *find(const device_t *device, const char *key) {
    if (device == NULL) return get((section_t){SYSTEM, WHOLE}, key);
    const char *own = get((section_t){device->gpu, device->slice}, key);
    return own || device->slice != WHOLE ? own : get((section_t){COMMON, WHOLE}, key);
}

/* `5`, `0x5`, `-5`, or `5+3/s`: 5 at the scenario's `epoch` (Unix seconds; else when it was read), 3 more a second. */
static ulong64 number(const char *text) {
    char *end;
    ulong64 value = *text == '-' ? (ulong64)strtoll(text, &end, 0) : strtoull(text, &end, 0);
    return *end == '+' ? value + (ulong64)(strtod(end + 1, NULL) * (now() - epoch)) : value;
}

unsigned long scenario_serial(void) {
    pthread_mutex_lock(&lock);
    refresh();
    unsigned long found = serial;
    pthread_mutex_unlock(&lock);
    return found;
}

bool find_text(const device_t *device, const char *key, char *text, size_t size) {
    pthread_mutex_lock(&lock);
    refresh();
    const char *value = find(device, key);
    if (value != NULL) snprintf(text, size, "%s", value);
    pthread_mutex_unlock(&lock);
    return value != NULL;
}

bool find_number(const device_t *device, const char *key, ulong64 *found) {
    pthread_mutex_lock(&lock);
    refresh();
    const char *value = find(device, key);
    if (value != NULL) *found = number(value);
    pthread_mutex_unlock(&lock);
    return value != NULL;
}

bool section_exists(section_t section) {
    pthread_mutex_lock(&lock);
    refresh();
    bool found = get(section, "") != NULL;
    pthread_mutex_unlock(&lock);
    return found;
}
