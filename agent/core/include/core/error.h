/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * AgentError:
 * @AGENT_ERROR_INVALID: the request is wrong in itself (HTTP 400)
 * @AGENT_ERROR_UNAUTHORIZED: no token, or a wrong one (401)
 * @AGENT_ERROR_FORBIDDEN: not for this caller (403)
 * @AGENT_ERROR_NOT_FOUND: no such guest, disk, operation or image (404)
 * @AGENT_ERROR_CONFLICT: not now, or not with this guest as it is (409)
 * @AGENT_ERROR_TOO_LARGE: the request's body is larger than is taken (413)
 * @AGENT_ERROR_CANCELLED: the operation was cancelled (409)
 * @AGENT_ERROR_NO_SPACE: no space left where it is needed (507)
 * @AGENT_ERROR_STORE: the image store refused or failed (502)
 * @AGENT_ERROR_GUEST: QEMU or the guest agent refused or failed (502)
 * @AGENT_ERROR_UNAVAILABLE: the guest or the store cannot be reached now (503)
 * @AGENT_ERROR_TIMEOUT: a deadline passed (504)
 * @AGENT_ERROR_DAMAGED: the journal cannot be trusted: nothing is changed until it is rebuilt (503)
 * @AGENT_ERROR_INTERNAL: the journal, or a mistake of ours (500)
 */
typedef enum
{
  AGENT_ERROR_INVALID,
  AGENT_ERROR_UNAUTHORIZED,
  AGENT_ERROR_FORBIDDEN,
  AGENT_ERROR_NOT_FOUND,
  AGENT_ERROR_CONFLICT,
  AGENT_ERROR_TOO_LARGE,
  AGENT_ERROR_CANCELLED,
  AGENT_ERROR_NO_SPACE,
  AGENT_ERROR_STORE,
  AGENT_ERROR_GUEST,
  AGENT_ERROR_UNAVAILABLE,
  AGENT_ERROR_TIMEOUT,
  AGENT_ERROR_DAMAGED,
  AGENT_ERROR_INTERNAL,
} AgentError;

#define AGENT_ERROR (agent_error_quark ())
GQuark      agent_error_quark     (void);

/* The form in which people and the journal see an error. */
guint       agent_error_to_http   (const GError *error);
const char *agent_error_to_word   (const GError *error);        /* "conflict", "not-found", ... */
GError     *agent_error_from_word (const char *word, const char *message, const char *hint);

/* What to do about it; rides along with the error. */
GError     *agent_error_new       (AgentError code, const char *hint, const char *format, ...)
                                   G_GNUC_PRINTF (3, 4);
void        agent_set_error       (GError **error, AgentError code, const char *hint,
                                   const char *format, ...) G_GNUC_PRINTF (4, 5);
const char *agent_error_get_hint  (const GError *error);

/* Errors of GLib and GIO as ours, unknown ones as AGENT_ERROR_INTERNAL. What QMP_ERROR_TIMEOUT and
 * the like become is known to those who know these libraries. (transfer full) in and out. */
GError     *agent_error_adopt     (GError *error);

G_END_DECLS
