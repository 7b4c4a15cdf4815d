/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/config.h>
#include <json-glib/json-glib.h>
#include <qmp/qmp.h>

G_BEGIN_DECLS

/*           +-> attached -+
 *           |             v
 *   connecting ------> gone --------> connecting ...      (with back-off, or when its socket comes)
 *           |             ^
 *           +-> refused --+---------> connecting ...      (another guest speaks there)
 *
 * An attached guest is refused later when it turns out to be attached already under another name.
 *
 * One guest: its monitor's address, its link while there is one, and who it is. "Connecting" lasts
 * for one try; while the next one is waited for, the guest is gone or refused, with the error that
 * says why. */
typedef enum
{
  GUEST_CONNECTING,
  GUEST_ATTACHED,
  GUEST_GONE,
  GUEST_REFUSED,
} GuestState;

typedef enum
{
  GUEST_KIND_UNKNOWN,
  GUEST_KIND_QEMU,
  GUEST_KIND_STORAGE_DAEMON,    /* no CPU: no query-status, no query-name, no devices */
} GuestKind;

/* Whose word it is that this guest is ours. */
typedef enum
{
  GUEST_ORIGIN_CONFIG,          /* the configuration's: comes back at every start */
  GUEST_ORIGIN_REQUEST,         /* a request's: kept in the journal until it is detached */
  GUEST_ORIGIN_WATCH,           /* its socket came up where we watch: forgotten with the socket */
} GuestOrigin;

#define TYPE_GUEST (guest_get_type ())
G_DECLARE_FINAL_TYPE (Guest, guest, AGENT, GUEST, GObject)

/* Signals: "state-changed" (Guest *self): attached, gone or refused, after link and identity are
 *            settled, or another error than before; not for each try;
 *          "run-state-changed" (Guest *self);
 *          "alarms-changed" (Guest *self): see alarm.h;
 *          "event" (Guest *self, const QmpEvent *event): each event of an attached guest. */

Guest             *guest_new            (const GuestConfig *config, QmpFeatureCache *cache);
void               guest_start          (Guest *self);  /* connects, and again with back-off */
void               guest_stop           (Guest *self);  /* lets go; QEMU does not notice */
void               guest_retry          (Guest *self);  /* its socket has come: do not wait */

/* How requests name it; stable once it was attached, a guess before. */
const char        *guest_get_id         (Guest *self);
const char        *guest_get_name       (Guest *self);  /* (nullable): QEMU's -name */
const char        *guest_get_uuid       (Guest *self);  /* (nullable): QEMU's -uuid */
GuestState         guest_get_state      (Guest *self);
GuestKind          guest_get_kind       (Guest *self);
GuestOrigin        guest_get_origin     (Guest *self);
const GError      *guest_get_error      (Guest *self);  /* (nullable): why it is not attached */
const GuestConfig *guest_get_config     (Guest *self);
/* "running", "paused", "inmigrate", ...; kept by events; NULL for a storage daemon. */
const char        *guest_get_run_state  (Guest *self);
/* NULL while not attached. */
QmpClient         *guest_get_client     (Guest *self);
QmpFeatures       *guest_get_features   (Guest *self);
GPid               guest_get_pid        (Guest *self);          /* 0 when unknown */
/* The process, not only its number: the start time of /proc/PID/stat; 0 when unknown. */
guint64            guest_get_start_time (Guest *self);
/* Whether that process still runs, whatever has become of its guest. */
gboolean           guest_process_is_alive (GPid pid, guint64 start_time);
/* The same for the process that was attached last: FALSE when none was, or it is not known. */
gboolean           guest_last_process_is_alive (Guest *self);
/* QEMU's working folder, for relative file names; (nullable). */
char              *guest_dup_folder     (Guest *self);

JsonNode          *guest_to_json        (Guest *self) G_GNUC_WARN_UNUSED_RESULT;

/* Whether any of its names is @name: id, name or UUID. */
gboolean           guest_answers_to     (Guest *self, const char *name);

const char        *guest_state_to_string  (GuestState state);
const char        *guest_kind_to_string   (GuestKind kind);
const char        *guest_origin_to_string (GuestOrigin origin);

/* Any error of libqmp (or of GIO) as one of AGENT_ERROR, its words kept. */
GError            *guest_error_adopt    (GError *error);

G_END_DECLS
