/* How a call behaves, told by keys of the device, of [*] or of [system], the nearest first:
 *
 *   sleep_us.<call>=20000   takes so long (sleeping, not spinning); sleep_us.* is for the calls without one
 *   hang.<call>=1           does not return until the scenario says so no more
 *   return.<call>=9,9,0     fails with these codes call by call, the last one for good; 0 works
 *   return.*=15             every call of the device but those that name it
 *   lost_after=20           the device is lost after so many calls, counted since the scenario was read
 */
#define _POSIX_C_SOURCE 200809L
#include "stub.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COUNTS = 1024, CALLS = 128 };
typedef struct { const device_t *device; char call[CALLS]; unsigned long count; } count_t;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static count_t counts[COUNTS];
static unsigned long counted_serial;
static int users; /* nvmlInit calls without a shutdown */

void sleep_us(ulong64 microseconds) {
    struct timespec time = {(time_t)(microseconds / 1000000), (long)(microseconds % 1000000) * 1000};
    while (nanosleep(&time, &time) != 0) continue;
}

/* How often a call was made before, since the scenario was read. */
static unsigned long count(const device_t *device, const char *call) {
    unsigned long serial = scenario_serial(), before = 0;
    pthread_mutex_lock(&lock);
    if (serial != counted_serial) memset(counts, 0, sizeof counts);
    counted_serial = serial;
    for (int i = 0; i < COUNTS; i++) {
        if (counts[i].call[0] == '\0') {
            counts[i].device = device;
            snprintf(counts[i].call, CALLS, "%s", call);
        }
        if (counts[i].device == device && !strcmp(counts[i].call, call)) {
            before = counts[i].count++;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    return before;
}

static bool wanted(const device_t *device, const char *prefix, const char *call, char *text) {
    char key[CALLS];
    snprintf(key, sizeof key, "%s%s", prefix, call);
    return (device != NULL && find_text(device, key, text, TEXT)) || find_text(NULL, key, text, TEXT);
}

static int nth(char *codes, unsigned long n) {
    char *rest = codes, *code = NULL, *last = codes;
    for (unsigned long i = 0; i <= n && (code = strtok_r(rest, ",", &rest)) != NULL; i++) last = code;
    return atoi(last);
}

static bool names_the_device(const char *call) {
    return !strcmp(call, "nvmlDeviceGetHandleByIndex_v2") || !strcmp(call, "nvmlDeviceGetUUID");
}

static int session(const char *call) {
    pthread_mutex_lock(&lock);
    bool open = users > 0 || !strncmp(call, "nvmlInit", 8);
    pthread_mutex_unlock(&lock);
    return open ? SUCCESS : UNINITIALIZED;
}

int begin(const device_t *device, const char *call) {
    char text[TEXT];
    ulong64 limit;
    if (session(call) != SUCCESS) return UNINITIALIZED;
    if (device != NULL && !is_handle(device)) return INVALID_ARGUMENT;
    if (wanted(device, "sleep_us.", call, text) || wanted(device, "sleep_us.", "*", text))
        sleep_us(strtoull(text, NULL, 0));
    while (wanted(device, "hang.", call, text) && strcmp(text, "0") != 0) sleep_us(5000);
    if (wanted(device, "return.", call, text)) return nth(text, count(device, call));
    if (device == NULL || names_the_device(call)) return SUCCESS;
    if (find_text(device, "return.*", text, TEXT)) return nth(text, count(device, "*"));
    if (find_number(device, "lost_after", &limit) && count(device, "lost_after") >= limit) return GPU_IS_LOST;
    return SUCCESS;
}

int nvmlInitWithFlags(uint flags) {
    (void)flags;
    int code = begin(NULL, "nvmlInitWithFlags");
    pthread_mutex_lock(&lock);
    if (code == SUCCESS) users++;
    pthread_mutex_unlock(&lock);
    return code;
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) {
    int code = begin(NULL, "nvmlShutdown");
    pthread_mutex_lock(&lock);
    if (code == SUCCESS) users--;
    pthread_mutex_unlock(&lock);
    return code;
}
