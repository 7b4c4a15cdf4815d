/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what a mirror can be asked to do, and which wishes contradict each other: pure. */

#include "mirror-request.h"

#include <core/error.h>
#include <string.h>

#include "../request-members.h"

#define SECONDS_MAX (24 * 60 * 60)

static const char *const format_words[] = { "qcow2", "raw", NULL };
static const char *const sync_words[] = { "full", "top", "none", NULL };
static const char *const end_words[] = { "keep", "pivot", NULL };
static const char *const copy_words[] = { "background", "write-blocking", NULL };
static const char *const error_words[] = { "report", "stop", "enospc", NULL };
static const char *const quiesce_words[] = { "none", "try", "require", NULL };
/* In the order of LatePolicy; a mirror that is left undone is cancelled. */
static const char *const late_words[] = { "stop", "throttle", "leave", "cancel", NULL };

void
mirror_request_free (MirrorRequest *self)
{
  if (self == NULL)
    return;
  g_free (self->disk);
  g_free (self->path);
  g_free (self->nbd_host);
  g_free (self->nbd_port);
  g_free (self->nbd_export);
  g_free (self->format);
  g_free (self->sync);
  g_free (self->copy_mode);
  g_free (self->on_error);
  g_free (self);
}

static gboolean
check_path (const char *path, GError **error)
{
  if (path != NULL && g_path_is_absolute (path))
    return TRUE;
  agent_set_error (error, AGENT_ERROR_INVALID, NULL, "\"target\" must have an absolute path");
  return FALSE;
}

static gboolean
parse_nbd (JsonObject *json, MirrorRequest *self, GError **error)
{
  static const char *const members[] = { "host", "port", "path", "export", NULL };

  if (!request_has_only (json, members, error)
      || !request_text (json, "host", &self->nbd_host, error)
      || !request_text (json, "port", &self->nbd_port, error)
      || !request_text (json, "path", &self->path, error)
      || !request_text (json, "export", &self->nbd_export, error))
    return FALSE;
  if (self->path != NULL && self->nbd_host == NULL && self->nbd_port == NULL)
    return check_path (self->path, error);
  if (self->path == NULL && self->nbd_host != NULL && self->nbd_port != NULL)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                   "\"nbd\" needs either \"host\" and \"port\" (strings), or \"path\", a socket");
  return FALSE;
}

static gboolean
parse_target (JsonObject *json, MirrorRequest *self, GError **error)
{
  static const char *const members[] = { "path", "device", "nbd", NULL };
  JsonNode *node = json_object_get_member (json, "target");
  JsonObject *target = node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node)
                                                                     : NULL;
  JsonNode *nbd;

  if (target == NULL || json_object_get_size (target) != 1)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "\"target\" must be an object with one of \"path\" (of a new file), "
                       "\"device\" (a block device) and \"nbd\"");
      return FALSE;
    }
  if (!request_has_only (target, members, error))
    return FALSE;
  if (json_object_has_member (target, "path"))
    return request_text (target, "path", &self->path, error) && check_path (self->path, error);
  if (json_object_has_member (target, "device"))
    {
      self->target = MIRROR_TO_DEVICE;
      return request_text (target, "device", &self->path, error) && check_path (self->path, error);
    }
  self->target = MIRROR_TO_NBD;
  nbd = json_object_get_member (target, "nbd");
  if (JSON_NODE_HOLDS_OBJECT (nbd))
    return parse_nbd (json_node_get_object (nbd), self, error);
  agent_set_error (error, AGENT_ERROR_INVALID, NULL, "\"nbd\" must be an object");
  return FALSE;
}

/* What would give a copy that nobody can use, or a guest that has lost data. */
static gboolean
check_together (const MirrorRequest *self, GError **error)
{
  gboolean is_full = strcmp (self->sync, "full") == 0;
  gboolean is_none = strcmp (self->sync, "none") == 0;

  if (self->target == MIRROR_TO_NBD && strcmp (self->format, "raw") != 0)
    agent_set_error (error, AGENT_ERROR_INVALID, "leave \"format\" out, or say raw",
                     "an NBD export is written to as it is: raw");
  else if (!is_full && strcmp (self->format, "qcow2") != 0)
    agent_set_error (error, AGENT_ERROR_INVALID, "say qcow2, or copy all (sync: full)",
                     "a copy of a part stands on what it leaves out, which a raw one cannot");
  else if (is_none && self->pivots)
    agent_set_error (error, AGENT_ERROR_INVALID,
                     "take a point of the disk: that puts an empty layer on top",
                     "a copy of nothing cannot become the guest's disk: what is there now would be "
                     "lost");
  else if (is_none && strcmp (self->copy_mode, "background") != 0)
    agent_set_error (error, AGENT_ERROR_INVALID, "say background",
                     "with sync none whole clusters are copied, which write-blocking does not");
  else if (self->pivots && self->quiesce != QUIESCE_NONE)
    agent_set_error (error, AGENT_ERROR_INVALID, "leave \"quiesce\" out, or end with keep",
                     "a guest that moves to the copy has nothing to be frozen for");
  else
    return TRUE;
  return FALSE;
}

/**
 * mirror_request_parse:
 * @json: the request's body
 * @config: (nullable): the daemon's defaults
 * @error: return location: AGENT_ERROR_INVALID names the member and what it may be
 *
 * Returns: (transfer full): the request
 */
MirrorRequest *
mirror_request_parse (JsonObject *json, const Config *config, GError **error)
{
  g_autoptr (MirrorRequest) self = g_new0 (MirrorRequest, 1);
  guint format, sync, end, copy, on_error, quiesce, late;

  self->deadline_s = config != NULL ? config->converge_deadline_s : 1;
  if (!request_text (json, "disk", &self->disk, error)
      || !parse_target (json, self, error)
      || !request_word (json, "format", format_words,
                        self->target == MIRROR_TO_FILE ? "qcow2" : "raw", &format, error)
      || !request_word (json, "sync", sync_words, "full", &sync, error)
      || !request_word (json, "end", end_words, "keep", &end, error)
      || !request_word (json, "copy_mode", copy_words, "background", &copy, error)
      || !request_word (json, "quiesce", quiesce_words, "none", &quiesce, error)
      || !request_word (json, "on_error", error_words, "report", &on_error, error)
      || !request_word (json, "on_deadline", late_words,
                        config != NULL ? config->on_deadline : "cancel", &late, error)
      || !request_number (json, "speed", 0, G_MAXINT64, "bytes a second", &self->speed, error)
      || !request_number (json, "deadline", 1, SECONDS_MAX, "seconds", &self->deadline_s, error)
      || !request_flag (json, "allow_path_change", &self->allow_path_change, error)
      || !request_flag (json, "allow_format_change", &self->allow_format_change, error))
    return NULL;
  if (self->disk == NULL)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL, "\"disk\" must name a disk");
      return NULL;
    }
  self->format = g_strdup (format_words[format]);
  self->sync = g_strdup (sync_words[sync]);
  self->copy_mode = g_strdup (copy_words[copy]);
  self->on_error = g_strdup (error_words[on_error]);
  self->pivots = strcmp (end_words[end], "pivot") == 0;
  self->quiesce = quiesce;
  self->late_policy = MIN (late, LATE_LEAVE);
  return check_together (self, error) ? g_steal_pointer (&self) : NULL;
}
